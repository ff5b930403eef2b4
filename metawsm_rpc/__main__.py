"""The server: `python -m metawsm_rpc`, `metawsm-rpc`, or `metawsm serve`."""


def main() -> None:
    """Serve on standard input and output."""
    from metawsm_rpc.rpc.lifecycle import serve

    serve()


if __name__ == "__main__":
    main()
