"""`python -m embedsvc`."""

from embedsvc.cli.main import run

if __name__ == "__main__":
    run()
