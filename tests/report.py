#!/usr/bin/env python3
"""Reads a report that ctest made with --output-junit: report.py FILE.xml LABEL

The first line of output is "PASSED FAILED SKIPPED", three numbers. Then comes a line for each test that
failed and for each that was skipped, with the reason that the test gave:

    failed LABEL: test_stop
    skipped LABEL: test_tls_tshark: tshark is not installed
"""
import re
import sys
import xml.etree.ElementTree


def reason(case):
    """What the test said before it ended as skipped."""
    said = case.findtext("system-out") or ""
    found = re.search(r"skipped:? *(.*)", said, re.IGNORECASE)
    return found.group(1).strip() if found and found.group(1).strip() else "it gave no reason"


def main(path, label):
    passed, lines = 0, {"failed": [], "skipped": []}
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = case.get("name")
        if case.find("failure") is not None or case.get("status") == "fail":
            lines["failed"].append(f"failed {label}: {name}")
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            lines["skipped"].append(f"skipped {label}: {name}: {reason(case)}")
        else:
            passed += 1
    print(passed, len(lines["failed"]), len(lines["skipped"]))
    for line in lines["failed"] + lines["skipped"]:
        print(line)


if __name__ == "__main__":
    main(*sys.argv[1:])
