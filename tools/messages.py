"""Every text that the connector may say, found in the code, and what is to be known of each.

The code holds the texts, once, where their facts are. This table holds what a reader of the log
asks next. A test compares the two, so that no text is left without an answer and no answer without
its text: `docs/messages.md` is written from both.
"""

from dataclasses import dataclass
from typing import Final

from tools.texts import Text


@dataclass(frozen=True, slots=True)
class Message:
    """Explain a text that is logged; `begins` is enough of its beginning to find it."""

    level: str
    begins: str
    meaning: str
    action: str = "nothing"


@dataclass(frozen=True, slots=True)
class Reason:
    """Explain a text that stands in messages: why something failed."""

    begins: str
    meaning: str
    action: str = "nothing, unless it lasts"


MESSAGES: Final = (
    # How a start goes
    Message(
        "info",
        "JumpCloud Directory Insights … starts:",
        "the settings that this start works with; no secret is among them",
    ),
    Message("info", "First start:", "there was no state; `history_hours` decided where to begin"),
    Message("info", "Collecting goes on from", "the state was found sound, and says so"),
    Message(
        "info",
        "Taking over the state of version",
        "the state of 1.8.2, or of a newer version, names the instant to go on from",
    ),
    Message(
        "info", "The state was reset at", "a person started over with `python main.py state reset`"
    ),
    Message(
        "info",
        "most_recent_date_seen was changed since",
        "1.8.2 ran in between, or a person changed `context.json`; its instant is used",
    ),
    Message(
        "info",
        "The configuration asks for other events than before",
        "`service`, the organization, the region or `excluded_event_types` changed: late events"
        " are looked for from here on, not before",
    ),
    Message(
        "info",
        "Events from before … are left out here",
        "one stream of `all` and other services cannot tell any more what the other delivered",
        "to have them, start over from an earlier instant; some may arrive twice",
    ),
    Message(
        "warning",
        "… Nothing reads it.",
        "the configuration holds a key that does not exist; the line names the nearest that does",
        "correct its spelling, or remove it",
    ),
    # Many organizations
    Message(
        "info",
        "… organizations polled … times",
        "what the polls of all organizations did in a minute, and which of them fail",
        "look at those that fail: `python main.py status`",
    ),
    Message(
        "info",
        "The list was read again",
        "a file of the list changed, or SIGHUP came; those that are not named went on",
    ),
    Message(
        "error",
        "The list of organizations cannot be used",
        "a change of the list is faulty, and nothing of it was applied",
        "mend what the line names; it is read again by itself",
    ),
    Message(
        "warning",
        "… organizations need about … requests",
        "the list is so long, or polled so often, that polls will come later than `frequency` says",
        "do one of the three things in the line",
    ),
    Message(
        "warning",
        "… itself holds the state of a single connector, which no organization of the list",
        "the data folder was one connector's before there was a list",
        "move its files to `DATA_DIR/NAME` of its organization while nothing runs, or remove them",
    ),
    Message(
        "critical",
        "What is known under this name is of organization …, and the list gives it to …",
        "two organizations of the list swapped their names, or one has the name of another;"
        " going on would lose or repeat events",
        "give each its former name back, or a new one a name that none has had",
    ),
    Message(
        "critical",
        "It cannot be collected: …",
        "one organization's data folder or settings cannot work; the others go on",
        "mend what the line names; it is tried again every five minutes",
    ),
    Message(
        "any",
        "… more of … organizations say the like",
        "what many organizations say within a minute is told once, at the level that each has",
        "as for the message that it quotes",
    ),
    Message(
        "warning",
        "The environment variable … is not read",
        "a variable looks like one of the connector's and is none",
        "correct its spelling, or unset it",
    ),
    Message(
        "warning",
        "The environment variable SSL_CERT_FILE",
        "the certificates to trust are named where nothing reads it",
        "name them in `REQUESTS_CA_BUNDLE`",
    ),
    Message(
        "critical",
        "The configuration cannot work:",
        "a form holds a bad value, or the environment a proxy, certificates or a data folder that"
        " cannot work. Self-hosted, the process ends with status 2 and the sentence alone",
        "do what the line says; [the reasons](#why-a-configuration-cannot-work)",
    ),
    Message(
        "error",
        "Starting failed unexpectedly",
        "a mistake in the program, with its stack; it is tried again after ten seconds",
        "report it",
    ),
    # How collecting goes
    Message(
        "info",
        "Polled… in … s: … events read",
        "a poll that moved something, and the first one. *Known already* is what was read again:"
        " the newest millisecond, and"
        " minutes with late events",
    ),
    Message(
        "info",
        "Polled… … times in … min",
        "one line an hour while nothing new comes: it polls, and JumpCloud has no more",
    ),
    Message(
        "info",
        "; … stretches of backlog still open",
        "ends the line of a poll or of a stop: parts of a backfill that are still to be read",
    ),
    Message("info", "Stopped:", "how far this process came; the next start goes on from there"),
    Message("info", "Stopped before collecting began", "it was asked to stop very early"),
    Message(
        "error",
        "Collecting failed unexpectedly",
        "a mistake in the program, with its stack; the poll is tried again after ten seconds. It is"
        " said again ever more seldom, every hour in the end",
        "report it",
    ),
    Message("info", "Collecting works again, after", "the end of it"),
    Message(
        "warning",
        "The intake accepted … events but gave no receipt",
        "they count as delivered",
        "if it happens again, tell Sekoia",
    ),
    Message(
        "warning",
        "Event … (… bytes) was set aside",
        "one event is in [the quarantine](operations.md#the-quarantine), and the others went on;"
        " *not kept* means that the quarantine is full and the event is now only at JumpCloud",
        "read [why](#why-an-event-was-set-aside), then replay or delete it; where it was not"
        " kept, empty the quarantine and look the event up at JumpCloud by its id",
    ),
    Message(
        "warning",
        "JumpCloud sends events of the type",
        "`excluded_event_types` had no effect at JumpCloud: the events arrive all the same",
        "check the name of the type; to be rid of them, filter at Sekoia",
    ),
    Message(
        "warning",
        "… log messages were dropped",
        "the platform's log was down for long. Standard output has all messages",
    ),
    # Failures and their ends
    Message(
        "warning, error",
        "Trying again by itself",
        "ends a line that says what failed: `error` for a refusal, `warning` for what may pass by"
        " itself and failed three times in a row",
        "for a refusal, what the line says ([by status](troubleshooting.md#by-status)); else"
        " nothing, unless it lasts",
    ),
    Message(
        "warning, error",
        "Failed tries since this was last said",
        "a reminder: the failure goes on. The next one comes after twice the time, every hour in"
        " the end",
        "the same",
    ),
    Message(
        "warning, error",
        "The backlog and late events wait for it.",
        "what failed is the backfill or a late event; new events may still arrive",
        "the same",
    ),
    Message(
        "critical",
        "… This has lasted for an hour.",
        "a refusal that nobody ended for an hour. On the platform it stops the connector",
        "remove the cause that the line names, then start the connector again; nothing is lost",
    ),
    Message(
        "info",
        "… answers again, after",
        "the end of a failure that was logged. `JumpCloud (backlog)` stands for the backfill and"
        " late events, `JumpCloud` for new events. If the failure comes back within five minutes,"
        " only reminders follow",
    ),
    # Late events
    Message(
        "warning",
        "… Late events cannot be counted: until they can",
        "`/events/interval` fails or contradicts what JumpCloud gave before; the last five minutes"
        " are read again at each poll meanwhile",
        "if it is refused, [by status](troubleshooting.md#by-status); else nothing",
    ),
    Message("info", "Late events can be counted again.", "the end of that warning"),
    Message(
        "warning",
        "… Late events cannot be counted by the hour",
        "the same for whole hours: events that are later than a quarter of an hour are found once"
        " hours can be counted, however long that takes",
        "if it is refused, [by status](troubleshooting.md#by-status); else nothing",
    ),
    Message("info", "Late events can be counted by the hour again.", "the end of that warning"),
    # Clocks
    Message(
        "warning",
        "This machine's clock is … s",
        "nothing is lost or repeated, since collecting goes by JumpCloud's clock; the times in the"
        " log are wrong",
        "set the machine's clock (NTP)",
    ),
    Message("info", "This machine's clock agrees", "the end of that warning"),
    Message(
        "warning",
        "The state names …, which is in the future",
        "1.8.2, a person or a wrong clock wrote it; what may have been left out is read again",
    ),
    Message(
        "warning",
        "Events between … and … are beyond JumpCloud's retention",
        "the connector was away for longer than JumpCloud keeps events",
        "nothing helps: these events cannot be collected any more",
    ),
    # The state
    Message(
        "warning",
        "The state in … is owned by ….",
        "another connector runs on this data folder, or did a moment ago; this one waits",
        "if both are meant to run, give each a folder; else stop one"
        " ([one owner](operations.md#one-owner))",
    ),
    Message("warning", "The state in … is owned by this process", "the end of that wait"),
    Message(
        "warning",
        "This process does not own the state in …: its lease",
        "another process may have taken over while this one was suspended; it waits for its turn",
        "check whether two connectors use this folder",
    ),
    Message(
        "warning",
        "This process does not own the state in …: its lock",
        "`owner.lock` was removed while the connector ran; the state is loaded again",
        "leave that file alone",
    ),
    Message(
        "warning",
        "The file system of … has no locks",
        "a network file system: a second connector on this folder would not be noticed",
        "make sure that only one runs",
    ),
    Message(
        "warning",
        "The object storage ignores conditions",
        "two connectors that start together would not notice each other at once",
        "start one at a time",
    ),
    Message("warning", "The state in … is damaged; its last copy", "nothing is lost"),
    Message(
        "warning",
        "The state in … is damaged and goes on",
        "there was no copy; events that the ledger does not know may arrive twice",
    ),
    Message(
        "warning",
        "The state in … does not say how far",
        "collecting begins `history_hours` back; what is older and was not delivered is not"
        " collected",
        "if it must be, do what the line says; else nothing",
    ),
    Message(
        "warning",
        "The ledger of delivered events is missing",
        "the folder `ledger` was removed: late events from before that instant are not looked for",
        "to have them, start over from an earlier instant; some may arrive twice",
    ),
    Message(
        "warning",
        "The ledger file … is damaged: the … events",
        "nothing is lost; these events may arrive twice",
    ),
    Message(
        "warning",
        "The ledger file … is damaged, as a crash",
        "nothing is lost; what was delivered in the last second before a power cut may arrive"
        " twice",
    ),
    Message("warning", "The ledger file … is damaged: its last copy", "nothing is lost"),
    Message(
        "warning",
        "The ledger file … is damaged: it is assumed",
        "nothing is lost, unless `service` or the organization was changed as well",
    ),
    # Test connection
    Message("info", "JumpCloud holds … events", 'the answer of "Test connection": all is well'),
    Message(
        "warning",
        "Events can be read, but not counted",
        '"Test connection" succeeded; late events may not be found',
        "what the line says",
    ),
)
"""What is logged, in the order in which it is shown."""


REASONS: Final = (
    Reason(
        "… answered … to ……",
        "an end refused a request, or failed: the line names the request, the status, and what"
        " was answered",
        "[by status](troubleshooting.md#by-status)",
    ),
    Reason(
        "Redirects are not followed",
        "something on the way answers in the end's place",
        "find the proxy or the portal that redirects; correct `base_url` or `intake_server`",
    ),
    Reason(
        "… … at …… (…).",
        "no connection, or no answer for half a minute; in brackets what the network said",
        "check name, firewall, proxy and certificates"
        " ([proxies](configuration.md#proxies-and-private-certificates))",
    ),
    Reason(
        "… X-Request-Id:",
        "the name that the end gave its answer, at the end of what it answered",
        "give it to JumpCloud's or Sekoia's support, who find the answer by it",
    ),
    Reason("… broke off its answer", "the connection ended in the middle of an answer"),
    Reason("… sent more than … bytes at once", "one event alone is larger than 256 MiB"),
    Reason(
        "… answered 200 without a token.",
        "the service account's token host answered something else than a token",
        "check the proxy; if it lasts, ask JumpCloud",
    ),
    Reason(
        "JumpCloud broke a promise of its API",
        "a page contradicts itself; it was not used, and is asked for again",
        "if it lasts, tell JumpCloud what the line says",
    ),
    Reason("JumpCloud answered … ….", "an answer that is not what JumpCloud documents"),
    Reason("… in answer to ….", "a page that is no list of events"),
    Reason("JumpCloud answered /events/distinct", "an answer that is not what JumpCloud documents"),
    Reason("JumpCloud answered /organizations", "an answer that is not what JumpCloud documents"),
    Reason(
        "JumpCloud counts … events between",
        "JumpCloud counts fewer events than it gave: its counts are not believed just now",
    ),
    Reason(
        "JumpCloud did not answer within",
        '"Test connection" had no answer in time',
        "check that `base_url` can be reached from there, and try again",
    ),
    Reason("JumpCloud did not count in time.", '"Test connection" had no count in time'),
    Reason(
        "The Sekoia intake answered without receipts",
        "the intake's answer was not understood; the batch is sent again, and may arrive twice",
        "check that `intake_server` is an intake; if it is, tell Sekoia",
    ),
    Reason(
        "The Sekoia intake refused … events in a row",
        "so many refusals are hardly the events' fault; events are held back",
        "check that the intake is of the format JumpCloud Directory Insights",
    ),
    Reason(
        "the intake answers … to an empty batch",
        "`check` could not try the key, since this intake takes no empty batch",
        "nothing: a start tells",
    ),
    Reason(
        "The state file … could not be",
        "the disk or the object storage fails; nothing is collected until it works",
        "free space, correct the rights, or repair the storage; it goes on by itself",
    ),
    Reason(
        "Renewing … takes longer",
        "the object storage is so slow that another process may have taken over",
        "check the object storage",
    ),
    Reason(
        "The object storage does not answer when",
        "the lease cannot be renewed; nothing is collected meanwhile",
        "check the object storage",
    ),
    Reason(
        "The lease … changed while it was begun",
        "somebody else writes there, or an answer of the storage was lost; it is tried again",
        "check who else uses this bucket and folder, if it happens again",
    ),
    Reason(
        "The lease … changed … times",
        "somebody else writes the lease",
        "check who else uses this bucket and folder",
    ),
    Reason(
        "These credentials belong to JumpCloud's region",
        "the credentials are good, in another region",
        "change `base_url` to the address in the line",
    ),
    Reason(
        "The organization … is none of those",
        "`organization_id` names an organization that these credentials do not reach",
        "choose one of those in the line",
    ),
    Reason(
        "No organization is chosen, and these credentials",
        "the administrator reaches several organizations",
        "set `organization_id` to one of those in the line",
    ),
    Reason(
        "No organization is chosen, and a service account",
        "a service account always needs its organization",
        "set `organization_id` to the one in the line",
    ),
)
"""What stands in messages about something that failed."""


CONFIGURATION: Final = (
    "is not a text",
    "is not an address",
    "holds more than a host",
    "begins with …://, which would show the key",
    "stands in quotes",
    "…: stands in quotes",
    "holds a space",
    "…: holds a space",
    "is empty; give the key",
    "… cannot be a name",
    "apikey: is empty",
    "apikey, client_id and client_secret:",
    "client_id: is empty",
    "client_id: holds a colon",
    "client_secret: is empty",
    "organization_id: is empty",
    "base_url: is none of JumpCloud's own",
    "base_url is not an address of JumpCloud's own",
    "…: is not possible",
    "…: … is not possible",
    "…: is missing",
    "….…: there is no such key",
    "The configuration is not a JSON object",
    "The connector's configuration is not JSON",
    "The module's configuration is not JSON",
    "… is not the address of a proxy",
    "… begins with …://, which is no kind of proxy",
    "… begins with …://, and the library for SOCKS",
    "… names …, which …",
    "The data folder … cannot be written",
    "… cannot be the data folder",
    "this process may not have as many files",
    "SHARD … is not possible",
    "SHARD and SHARDS are both set",
    "SHARDS … on the host … is not possible",
    "… is not possible: shards are",
    "MAX_REQUESTS_PER_SECOND … is not",
    "… is started by Sekoia's platform",
)
"""Why a configuration cannot work. Each says itself what to do."""


SET_ASIDE: Final = (
    Reason("because the intake takes at most", "the event is too large", "read it in its file"),
    Reason(
        "because the intake refused it",
        "the intake answered 400 or 422 to this event alone",
        "read the answer in the line; replay it once the cause is gone",
    ),
    Reason(
        "because the intake answered 413",
        "this event alone is too large for the intake",
        "read it in its file",
    ),
    Reason("because its batch is", "this event alone makes too large a request", "the same"),
    Reason("because it is not valid UTF-8", "JSON must be", "tell JumpCloud"),
    Reason(
        "because it is no JSON object",
        "a number, a text or a list stood where an event belongs",
        "tell JumpCloud",
    ),
)
"""Why an event went to the quarantine."""


PIECES: Final = (
    " Since this was last said:",
    " (failures since this was last said",
    "… …; …",
    "… and … more",
    " and redirected to",
    " through the proxy",
    "…: collecting events since",
    "collecting events since",
    "what happened before that",
    "…: set organization_id to",
    "…; did you mean",
    "…; it belongs into",
    "…; there are",
    "; … failing (…)",
    "… … (…)",
    "SHARDS … on the host",
    ", shard …",
    "…_PROXY (or ALL_PROXY)",
    "a full page came without",
    "a request hung",
    "a whole number",
    "another process, which left",
    "broken gzip",
    "cannot be read",
    "committed up to",
    "could not be reached",
    "did not answer in time",
    "holds no certificate",
    "it took too long",
    "kept in …",
    "not a JSON array",
    "not a number",
    "not kept: the quarantine",
    "process … on host",
    "the body is no JSON",
    "the only one of the key",
    "the cursor X-Search_after",
    "the events are in descending",
    "the page is sorted",
    "the user …",
    "until that process",
    "with something else than",
    "without a count",
    "X-Result-Count says",
)
"""Pieces of the texts above."""


UNSAID: Final = (
    "An end that failed before is not asked yet",  # of TryLater, which no failure log is told
    "stopped while",  # of Stopped, which ends a wait and is shown to nobody
    "… is not right below …",  # a mistake of the program's, with its stack
    "the page was given back",  # a mistake of the program's, with its stack
    "Check ",  # what to do by status: docs/troubleshooting.md
    "Directory Insights is not enabled",
    "The Sekoia intake",  # names
    "JumpCloud's token host",
    "JumpCloud Directory Insights",
    "waiting for another owner",  # of the command status
    "The data folder … cannot be written by",  # of the command check
    "Endpoint doesn't exist",  # the monitoring port's 404
    "… … …",
)
"""What is no message."""


def beginnings() -> list[str]:
    """Return all beginnings of the tables above, whatever becomes of their texts."""
    explained = [entry.begins for entry in (*MESSAGES, *REASONS, *SET_ASIDE)]
    return [*explained, *CONFIGURATION, *PIECES, *UNSAID]


def beginning_of(text: Text) -> str | None:
    """Return the longest of the beginnings that a text has, None where nothing is known of it."""
    return max((b for b in beginnings() if text.words.startswith(b)), key=len, default=None)
