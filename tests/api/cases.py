"""What the scripts that drive a server with a client's package share."""
import sys
import traceback


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


def run_all(names):
    """Runs every case_* function of a script, prints a line each, and exits with 1 if one failed."""
    failed = 0
    for name, case in [(n, f) for n, f in names.items() if n.startswith("case_")]:
        try:
            case()
            print("ok  ", name[5:])
        except Exception:  # each case reports its own failure
            failed += 1
            print("FAIL", name[5:])
            traceback.print_exc()
    sys.exit(1 if failed else 0)
