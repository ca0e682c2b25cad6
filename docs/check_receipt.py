"""Check a receipt of a case, with Python 3.8 or later and nothing else: python check_receipt.py RECEIPT.json PUBLIC-KEY

Prints the events of the case if a holder of the key signed for each of them; otherwise says what is wrong and exits with 1.
Get the public key from whom you trust, not with the receipt. Signatures are Ed25519 (RFC 8032), the tree is that of RFC 6962.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493


def plus(a, b):
    """The sum of two points of the curve in extended coordinates."""
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    g, h = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, point):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = plus(result, point)
        point, number = plus(point, point), number >> 1
    return result


def point_of(raw):
    number = int.from_bytes(raw, "little")
    y, odd = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and odd):
        raise ValueError("this is no point of the curve")
    x = P - x if x & 1 != odd else x
    return x, y, 1, x * y % P


def signed(public, signature, message):
    base = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    s = int.from_bytes(signature[32:], "little")
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    left, right = times(s, base), plus(point_of(signature[:32]), times(challenge, point_of(public)))
    same = (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0
    return len(signature) == 64 and s < ORDER and same


def root_of(node, at, size, beside):
    beside, last = [bytes.fromhex(one) for one in beside], size - 1
    while last:
        if at ^ 1 <= last:
            other = beside.pop(0)
            node = hashlib.sha256(b"\x01" + (other + node if at & 1 else node + other)).digest()
        at, last = at // 2, last // 2
    return node if not beside else None


def read(event):
    """Position, case, hash and text of an event; no text if its content is not what was committed to."""
    if "line" not in event:  # emptied: only its hash is left
        return event["position"], None, bytes.fromhex(event["hash"]), "(erased)"
    _, position, case, kind, _, when, payload = event["line"].split("\x1f", 6)
    commitment = json.loads(payload).get("commitment")
    if commitment:  # encrypted: salt and content open it, unless they were erased
        opened = bytes.fromhex(event.get("salt", "")) + event.get("payload", "").encode()
        payload = event.get("payload") if hashlib.sha256(opened).hexdigest() == commitment else None
        payload = "(erased)" if "salt" not in event else payload
    text = f"{when}  {kind}  {payload}" if payload is not None else None
    return int(position), case, hashlib.sha256(event["line"].encode()).digest(), text


def main(file, key):
    receipt = json.loads(Path(file).read_text(encoding="utf-8"))
    name, _, public = key.strip().split("+", 2)
    public = base64.b64decode(public)[1:]
    body, _, signatures = receipt["checkpoint"].partition("\n\n")
    origin, size, root, at = body.split("\n")
    size, root = int(size), base64.b64decode(root)
    lines = [line.split(" ") for line in signatures.splitlines() if line.startswith(f"\u2014 {name} ")]
    if not any(signed(public, base64.b64decode(line[2])[4:], (body + "\n").encode()) for line in lines):
        sys.exit(f"The checkpoint is not signed by {name}.")
    positions = [event["position"] for event in receipt["events"]]
    if not positions or positions != sorted(set(positions)):
        sys.exit("The receipt has no event, or one more than once.")
    print(f"{origin}, {size} events on {at}, signed by {name}. Case {receipt['case']}:")
    for event in receipt["events"]:
        position, case, digest, text = read(event)
        leaf = hashlib.sha256(b"\x00" + digest).digest()
        proven = case in (None, receipt["case"]) and position == event["position"] <= size
        if not proven or text is None or root_of(leaf, position - 1, size, event["proof"]) != root:
            sys.exit(f"Event {event['position']} is not the one that was signed for.")
        print(f"  {position}  {text}")


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        main(*sys.argv[1:3])
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OSError, RecursionError) as error:
        sys.exit(f"Not a receipt and a public key that belong together: {error}")
