"""What people do, each verb once: the CLI and the dashboard are two faces over this."""
