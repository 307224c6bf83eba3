"""What collecting costs, measured on real processes beside a plain reference."""
