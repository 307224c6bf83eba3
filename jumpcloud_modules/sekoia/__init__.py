"""The connector as Sekoia's SDK runs it: configuration, logs, metrics, health."""
