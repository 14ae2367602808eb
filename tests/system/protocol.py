"""Drive the raw protocol: what vmemctl can't say, or wouldn't.

Goal: every error code, limit and rule of order of the protocol, and that the
daemon goes on whatever it is sent.  Method: plain sockets against a daemon of
our own ($VMEMD), one check after the other; at the end `check` finds nothing,
everything has been given back, and SIGTERM ends it with 0.
"""
import atexit
import base64
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

VMEMD = os.environ["VMEMD"]
PAGE = 4096
TIMEOUT_S = 120     # far beyond anything here; a hang is a failure
failures = 0


def check(what, ok, *details):
    global failures
    if not ok:
        failures += 1
        print("FAIL:", what, *(str(x)[:400] for x in details), flush=True)


def equal(what, got, want):
    check(what, got == want, "got", repr(got)[:400], "want", repr(want)[:400])


class Conn:
    """A connection; call() waits for the reply of its own id."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(path)
        self.buf = b""
        self.next_id = 1

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        while b"\n" not in self.buf:
            more = self.sock.recv(1 << 16)
            if not more:
                raise EOFError("the daemon closed the connection")
            self.buf += more
        line, self.buf = self.buf.split(b"\n", 1)
        return json.loads(line)

    def request(self, method, /, **params):
        ident = self.next_id
        self.next_id += 1
        self.send(encode(method, params, ident))
        return ident

    def call(self, method, /, **params):
        self.request(method, **params)
        return self.line()

    def ok(self, method, /, **params):
        reply = self.call(method, **params)
        if "result" not in reply:
            raise AssertionError(("%s %s: %s" % (
                method, str(params)[:200], reply))[:1000])
        return reply["result"]

    def error(self, label, code, name, field, method, /, **params):
        """The call fails so; field None: not looked at."""
        expect_error(label, self.call(method, **params), code, name, field)

    def raw(self, data):
        self.send(data)
        return self.line()

    def silent(self, what):
        """Nothing has been sent: the next reply is that of a ping."""
        ident = self.request("ping")
        equal(what, self.line(), {"jsonrpc": "2.0", "id": ident, "result": {}})

    def close(self):
        self.sock.close()


def encode(method, params, ident=None):
    request = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        request["params"] = params
    if ident is not None:
        request["id"] = ident
    return json.dumps(request).encode() + b"\n"


def expect_error(what, reply, code, name=None, field=None):
    error = reply.get("error", {})
    data = error.get("data", {})
    check(what, error.get("code") == code and
          (name is None or data.get("name") == name) and
          (field is None or data.get("field") == field) and
          isinstance(error.get("message"), str) and
          isinstance(data.get("errno"), str),
          "got", reply, "want", code, name, field)


class Daemon:
    def __init__(self, *options, program=VMEMD):
        self.dir = tempfile.mkdtemp(prefix="vmemd-protocol.")
        self.path = os.path.join(self.dir, "sock")
        self.log = open(os.path.join(self.dir, "log"), "w+")
        self.process = subprocess.Popen(
            [program, "--socket", self.path, "--va-size", "1G", "--frames",
             "8M", "--swap-size", "32M", "--wired", "32M", *options],
            stderr=self.log)
        atexit.register(self.discard)   # however this ends
        poll(lambda: self.process.poll() is not None or self.answers(),
             "the daemon's socket")

    def answers(self):
        try:
            Conn(self.path).close()
            return True
        except OSError:
            return False

    def connect(self):
        return Conn(self.path)

    def end(self, how=signal.SIGTERM, status=0):
        self.process.send_signal(how)
        equal("exit status", self.process.wait(TIMEOUT_S), status)
        check("the socket is gone", not os.path.exists(self.path))
        self.discard()

    def discard(self):
        atexit.unregister(self.discard)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if failures:
            self.log.seek(0)
            print("--- the daemon's log\n" + self.log.read()[-4000:])
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def poll(condition, what):
    until = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > until:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.01)


# ---- bad input --------------------------------------------------------------

def bad_lines(d):
    c = d.connect()
    for what, line in [
            ("malformed", b'{"jsonrpc":"2.0","id":1,'),
            ("not JSON", b'hello'),
            ("empty line", b''),
            ("NUL", b'{"jsonrpc":"2.0","id":1,"method":"ping"}\0'),
            ("NUL inside", b'{"jsonrpc":"2.0","id":1,"me\0thod":"ping"}'),
            ("escaped NUL",
             b'{"jsonrpc":"2.0","id":1,"method":"pi\\u0000ng"}'),
            ("invalid UTF-8",
             b'{"jsonrpc":"2.0","id":1,"method":"p\xffng"}'),
            ("duplicate key",
             b'{"jsonrpc":"2.0","id":1,"method":"ping","id":2}'),
            ("duplicate key in params",
             b'{"jsonrpc":"2.0","id":1,"method":"alloc",'
             b'"params":{"size":1,"size":2}}'),
            ("two values", b'{} {}'),
            ("over-deep", b'[' * 33 + b']' * 33),
            ("very deep", b'[' * 60000),
            ("2^63", b'{"jsonrpc":"2.0","id":1,"method":"alloc",'
                     b'"params":{"size":9223372036854775808}}'),
            ("2^64-1", b'{"jsonrpc":"2.0","id":1,"method":"alloc",'
                       b'"params":{"size":18446744073709551615}}'),
    ]:
        reply = c.raw(line + b"\n")
        expect_error(what, reply, -32700, "parse_error")
        equal(what + ": id", reply["id"], None)
        c.silent(what + ": goes on")
    # Depth: 32 is fine as JSON, and then no request.
    expect_error("32 deep", c.raw(b'[' * 32 + b']' * 32 + b"\n")[0], -32600)
    # Brackets in strings are no nesting.
    expect_error("brackets in a string", c.raw(
        encode("x" + "[" * 100, None, 7)), -32601)
    c.close()


def long_lines(d):
    c = d.connect()
    exact = json.dumps({"jsonrpc": "2.0", "method": "ping", "id": 1}).encode()
    exact += b" " * (64 * 1024 - len(exact))
    equal("64 KiB exactly", c.raw(exact + b"\n")["result"], {})
    expect_error("one more", c.raw(exact + b" \n"), -32700)
    c.silent("after it")
    for size in (64 * 1024 + 1, 200000, 3000000):
        expect_error("line of %d" % size, c.raw(b"x" * size + b"\n"), -32700)
        c.silent("resynchronised")
    # Refused before its end has come, and only once.
    c.send(b"y" * 100000)
    expect_error("unfinished", c.line(), -32700)
    c.send(b"y" * 100000 + b"\n")
    c.silent("once")
    # A batch may be longer, to 1 MiB.
    member = encode("ping", None, 1).strip()
    batch = b"[" + b",".join([member] * 20000) + b"]"
    check("the batch is long", 64 * 1024 < len(batch) <= 1024 * 1024)
    equal("long batch", len(c.raw(batch + b"\n")), 20000)
    expect_error("batch of more than 1 MiB",
                 c.raw(b"[" + b" " * (1024 * 1024) + b"]\n"), -32700)
    c.silent("after a long batch")
    # Blanks before the bracket count for it.
    equal("indented batch", len(c.raw(b"   [" + member + b"]\n")), 1)
    # Half a line, then the end: nothing happens, and the daemon goes on.
    half = d.connect()
    half.send(b'{"jsonrpc":"2.0","id":1,"method":"al')
    half.close()
    c.silent("after half a line")
    # Byte by byte.
    for byte in encode("ping", None, "slow"):
        c.send(bytes([byte]))
    equal("byte by byte", c.line()["id"], "slow")
    c.close()


def envelopes(d):
    c = d.connect()
    for what, request in [
            ("a number", 42), ("a string", "ping"), ("null", None),
            ("no version", {"id": 1, "method": "ping"}),
            ("version 1", {"jsonrpc": "1.0", "id": 1, "method": "ping"}),
            ("no method", {"jsonrpc": "2.0", "id": 1}),
            ("method of a number", {"jsonrpc": "2.0", "id": 1, "method": 1}),
            ("id of an object",
             {"jsonrpc": "2.0", "id": {}, "method": "ping"}),
            ("id true", {"jsonrpc": "2.0", "id": True, "method": "ping"}),
            ("unknown member",
             {"jsonrpc": "2.0", "id": 1, "method": "ping", "x": 1}),
            ("params of a number",
             {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": 1}),
    ]:
        expect_error(what, c.raw(json.dumps(request).encode() + b"\n"),
                     -32600, "invalid_request")
    reply = c.raw(b'{"id":"mine","method":"ping"}\n')
    equal("an error has the id", reply["id"], "mine")
    for ident in (0, -1, 7, 1.5, "", "é\"\\\n", "x" * 500, None):
        line = json.dumps({"jsonrpc": "2.0", "id": ident, "method": "ping"})
        equal("id %r" % (ident,), c.raw(line.encode() + b"\n"),
              {"jsonrpc": "2.0", "id": ident, "result": {}})
    expect_error("unknown method", c.raw(encode("nope", {}, 3)), -32601,
                 "method_not_found")
    expect_error("params by place", c.raw(encode("alloc", [1], 3)), -32602)
    c.error("unknown member", -32602, "invalid_params", "sise", "alloc",
            sise=1)
    c.error("idem", 11, "not_supported", "idem", "ping", idem="x")
    c.close()


def parameters(d):
    c = d.connect()
    big = str(1 << 63)
    for what, code, name, field, params in [
            ("missing", -32602, "invalid_params", "size", {}),
            ("0", -32602, "invalid_params", "size", {"size": 0}),
            ("negative", -32602, "invalid_params", "size", {"size": -1}),
            ("2^63 as text", 1, "no_space", "size", {"size": big}),
            ("2^64-1", 1, "no_space", "size", {"size": hex((1 << 64) - 1)}),
            ("2^64", -32602, "invalid_params", "size", {"size": str(1 << 64)}),
            ("64Q", -32602, "invalid_params", "size", {"size": "64Q"}),
            ("16E", -32602, "invalid_params", "size", {"size": "16E"}),
            ("1.5", -32602, "invalid_params", "size", {"size": 1.5}),
            ("true", -32602, "invalid_params", "size", {"size": True}),
            ("null", -32602, "invalid_params", "size", {"size": None}),
            ("''", -32602, "invalid_params", "size", {"size": ""}),
            ("' 1'", -32602, "invalid_params", "size", {"size": " 1"}),
            ("larger than all", 1, "no_space", "size", {"size": "900G"}),
            ("count 0", -32602, "invalid_params", "count",
             {"size": 1, "count": 0}),
            ("count 65537", -32602, "invalid_params", "count",
             {"size": 1, "count": 65537}),
            ("count * size", 1, "no_space", None,
             {"size": 1 << 60, "count": 65536}),
            ("align 3", -32602, "invalid_params", "align",
             {"size": 1, "align": 3}),
            ("phase alone", -32602, "invalid_params", "phase",
             {"size": 1, "phase": 4096}),
            ("phase = align", -32602, "invalid_params", "phase",
             {"size": 1, "align": 8192, "phase": 8192}),
            ("phase odd", -32602, "invalid_params", "phase",
             {"size": 1, "align": 8192, "phase": 1}),
            ("nocross 3", -32602, "invalid_params", "nocross",
             {"size": 1, "nocross": 3}),
            ("nocross < size", -32602, "invalid_params", "nocross",
             {"size": 8192, "nocross": 4096}),
            ("max < min", -32602, "invalid_params", "max",
             {"size": 1, "min": 8192, "max": 4096}),
            ("window < size", -32602, "invalid_params", "max",
             {"size": 8192, "min": 4096, "max": 8191}),
            ("fit", -32602, "invalid_params", "fit",
             {"size": 1, "fit": "worst"}),
            ("sleep_ms -2", -32602, "invalid_params", "sleep_ms",
             {"size": 1, "sleep_ms": -2}),
            ("keep", -32602, "invalid_params", "keep",
             {"size": 1, "keep": "yes"}),
            ("tag empty", -32602, "invalid_params", "tag",
             {"size": 1, "tag": ""}),
            ("tag long", -32602, "invalid_params", "tag",
             {"size": 1, "tag": "x" * 129}),
            ("at odd", -32602, "invalid_params", "at", {"size": 1, "at": 1}),
            ("at and min", -32602, "invalid_params", "at",
             {"size": 1, "at": 4096, "min": 1}),
            ("at and count", -32602, "invalid_params", "count",
             {"size": 1, "at": 4096, "count": 2}),
            ("at outside", 1, "no_space", None, {"size": 1, "at": 4096}),
            ("at the end", 1, "no_space", None,
             {"size": 8192, "at": "0xfffffffffffff000"}),
            ("no arena", 2, "no_arena", "arena", {"size": 1, "arena": "no"}),
            ("arena 1", -32602, "invalid_params", "arena",
             {"size": 1, "arena": 1}),
            ("the library's", 11, "not_supported", "arena",
             {"size": 1, "arena": "vmem_meta"}),
            ("idem", 11, "not_supported", "idem", {"size": 1, "idem": "a"}),
    ]:
        c.error("alloc " + what, code, name, field, "alloc", **params)
    for what, code, name, field, params in [
            ("nothing", -32602, "invalid_params", None, {}),
            ("two ways", -32602, "invalid_params", None,
             {"addr": 0, "all": True}),
            ("no addrs", -32602, "invalid_params", "addrs", {"addrs": []}),
            ("bad addrs", -32602, "invalid_params", "addrs",
             {"addrs": ["0x1000", "x"]}),
            ("never allocated", 3, "not_allocated", None, {"addr": "0x1000"}),
            ("negative", -32602, "invalid_params", "addr", {"addr": -1}),
            ("partial alone", -32602, "invalid_params", "size",
             {"addr": "0x1000", "partial": True}),
            ("partial odd", -32602, "invalid_params", "addr",
             {"addr": "0x1001", "partial": True, "size": 4096}),
            ("partial 0", -32602, "invalid_params", "size",
             {"addr": "0x1000", "partial": True, "size": 0}),
            ("size and all", -32602, "invalid_params", "size",
             {"all": True, "size": 1}),
            ("size 0", -32602, "invalid_params", "size",
             {"addr": "0x1000", "size": 0}),
    ]:
        c.error("free " + what, code, name, field, "free", **params)
    c.error("read 0", -32602, "invalid_params", "len", "read",
            addr="0x1000", len=0)
    c.error("read much", -32602, "invalid_params", "len", "read",
            addr="0x1000", len="2M")
    c.error("write no base64", -32602, "invalid_params", "data", "write",
            addr="0x1000", data="a")
    c.error("cursor", -32602, "invalid_params", "cursor", "dump",
            what="segments", cursor="zz")
    c.error("what", -32602, "invalid_params", "what", "dump", what="pages")
    c.error("faults of kmem", 10, "not_pageable", None, "dump",
            what="faults", arena="kmem")
    c.error("set what", -32602, "invalid_params", "name", "set", name="x",
            value=1)
    c.error("set so", -32602, "invalid_params", "value", "set",
            name="log_level", value="loud")
    c.error("cancel what", -32602, "invalid_params", "id", "cancel", id=99)
    c.error("cancel whose", -32602, "invalid_params", "client", "cancel",
            id=1, client=1 << 40)
    for method, params in [
            ("map", {"arena": "heap"}), ("subscribe", {}),
            ("unsubscribe", {})]:
        c.error(method, 11, "not_supported", None, method, **params)
    c.close()


# ---- order, batches, notifications ------------------------------------------

def order(d):
    c = d.connect()
    c.send(b"".join(encode("ping", None, i) for i in range(1000)))
    equal("pipelined", [c.line()["id"] for _ in range(1000)],
          list(range(1000)))
    # A sliced method holds the order, too.
    a = c.ok("alloc", size="4M")["addr"]
    c.send(encode("fill", {"addr": a}, "f") + encode("verify", {"addr": a},
           "v") + encode("check", {}, "c") + encode("ping", None, "p"))
    equal("sliced", [c.line()["id"] for _ in range(4)], ["f", "v", "c", "p"])
    c.ok("free", addr=a)
    # Several on one line or one on several writes: framing is by LF alone.
    equal("CR LF", c.raw(encode("ping", None, 5).strip() + b"\r\n")["id"], 5)
    c.close()


def batches(d):
    c = d.connect()

    def batch(*members):
        c.send(b"[" + b",".join(m.strip() for m in members) + b"]\n")

    expect_error("empty batch", c.raw(b"[]\n"), -32600)
    batch(encode("ping", None, 1), encode("nope", None, 2), b"3",
          encode("ping", None), encode("alloc", {"size": 4096}, 4))
    reply = c.line()
    equal("batch", [r.get("id") for r in reply], [1, 2, None, 4])
    expect_error("bad member", reply[1], -32601)
    expect_error("no member", reply[2], -32600)
    c.ok("free", addr=reply[3]["result"]["addr"])
    batch(encode("ping", None), encode("ping", None))
    c.silent("a batch of notifications")
    # The batch waits for its last member; what follows doesn't.
    c.ok("arena.create", name="small", size="64K")
    a = c.ok("alloc", arena="small", size="64K")["addr"]
    batch(encode("alloc", {"arena": "small", "size": 4096, "sleep_ms": -1},
                 "w"), encode("ping", None, "p"))
    equal("overtakes", c.call("ping")["result"], {})
    c.send(encode("free", {"arena": "small", "addr": a}, "f"))
    replies = [c.line(), c.line()]
    whole = [r for r in replies if isinstance(r, list)]
    equal("the batch comes", len(whole), 1)
    equal("both of it", sorted(r["id"] for r in whole[0]), ["p", "w"])
    # Its replies are bounded.
    batch(*[encode("methods", None, i) for i in range(3000)])
    reply = c.line()
    equal("every member is answered", len(reply), 3000)
    expect_error("at last refused", reply[-1], -32600)
    check("at first not", "result" in reply[0])
    c.ok("free", arena="small", all=True)
    c.ok("arena.destroy", arena="small")
    c.close()


def notifications(d):
    c = d.connect()
    c.send(encode("ping", None) + encode("nope", None) +
           encode("alloc", {"size": 0}) + encode("alloc", {"bad": 1}) +
           encode("alloc", {"size": 8192, "keep": True, "tag": "silent"}) +
           encode("dump", {"what": "segments", "stream": True}))
    c.silent("notifications")
    equal("were done", c.ok("free", tag="silent"),
          {"freed": 1, "bytes": 8192})
    # Requests of a client that doesn't stay for the answers are done.
    gone = d.connect()
    gone.send(b"".join(
        encode("alloc", {"size": 4096, "keep": True, "tag": "gone"}, i)
        for i in range(500)))
    gone.close()
    freed = 0

    def all_freed():
        nonlocal freed
        freed += c.ok("free", tag="gone")["freed"]
        return freed == 500
    poll(all_freed, "500 allocations of a client that has gone")
    # Half-closed, as `echo ... | socat` does: answered all the same.
    half = d.connect()
    half.send(encode("ping", None, 1) + encode("alloc", {"size": 1}, 2))
    half.sock.shutdown(socket.SHUT_WR)
    equal("half-closed", [half.line()["id"], half.line()["id"]], [1, 2])
    equal("then closed", half.sock.recv(1), b"")
    half.close()
    c.close()


# ---- allocations ------------------------------------------------------------

def allocations(d):
    c = d.connect()
    one = c.ok("alloc", size=1)
    equal("rounded", one["size"], PAGE)
    addr = int(one["addr"], 16)
    c.error("interior", 3, "not_allocated", None, "free", addr=hex(addr + 1))
    c.error("wrong size", 3, "not_allocated", None, "free", addr=addr,
            size=2 * PAGE)
    c.error("taken", 8, "exists", "at", "alloc", size=1, at=addr)
    equal("right size", c.ok("free", addr=addr, size=1),
          {"freed": 1, "bytes": PAGE})
    c.error("double free", 3, "not_allocated", None, "free", addr=addr)
    many = c.ok("alloc", size=PAGE, count=1000)
    equal("distinct", len(set(many["addrs"])), 1000)
    c.error("all or nothing", 3, "not_allocated", None, "free",
            addrs=many["addrs"][:10] + ["0x1000"])
    c.error("twice in one", 3, "not_allocated", None, "free",
            addrs=many["addrs"][:2] + many["addrs"][:1])
    equal("all of them", c.ok("free", addrs=many["addrs"]),
          {"freed": 1000, "bytes": 1000 * PAGE})
    for fit in ("instant", "best", "first", "next", "last"):
        a = c.ok("alloc", size=3 * PAGE, fit=fit, align="64K", phase=PAGE,
                 nocross="32K")["addr"]
        equal("aligned by " + fit, int(a, 16) % 65536, PAGE)
        c.ok("free", addr=a)
    # Identifiers: all of 0 ... 2^64-1 but one, from both ends.
    c.ok("arena.create", name="ids", base=0, size=hex((1 << 64) - 16),
         quantum=16)
    equal("address 0", c.ok("alloc", arena="ids", size=1, fit="first")["addr"],
          "0x0")
    equal("the last", c.ok("alloc", arena="ids", size=1, fit="last")["addr"],
          hex((1 << 64) - 32))
    c.error("nothing behind it", 10, "not_pageable", None, "touch",
            arena="ids", addr=0)
    c.error("in use", 7, "busy", None, "arena.destroy", arena="ids")
    equal("free 0", c.ok("free", arena="ids", addr=0)["bytes"], 16)
    c.ok("free", arena="ids", all=True)
    c.ok("arena.destroy", arena="ids")
    c.error("gone", 2, "no_arena", "arena", "arena.info", arena="ids")
    c.close()


def full_arena(d):
    c = d.connect()
    c.ok("arena.create", name="tiny", size=16 * PAGE)
    c.error("exists", 8, "exists", "name", "arena.create", name="tiny",
            size=PAGE)
    addrs = c.ok("alloc", arena="tiny", size=PAGE, count=16)["addrs"]
    c.error("full", 1, "no_space", "size", "alloc", arena="tiny", size=1)
    c.ok("free", arena="tiny", addrs=addrs[::2])
    c.error("8 of 9", 1, "no_space", "size", "alloc", arena="tiny",
            size=PAGE, count=9)
    equal("nothing taken", c.ok("stats", arena="tiny")["inuse_bytes"],
          8 * PAGE)
    c.error("in pieces", 1, "no_space", "size", "alloc", arena="tiny",
            size=2 * PAGE)
    c.ok("free", arena="tiny", all=True)
    c.ok("arena.destroy", arena="tiny")
    for what, field, params in [
            ("name", "name", {"name": "a b", "size": PAGE}),
            ("long name", "name", {"name": "a" * 32, "size": PAGE}),
            ("no name", "name", {"name": "", "size": PAGE}),
            ("nothing", "size", {"name": "x"}),
            ("quantum", "quantum", {"name": "x", "size": 1, "quantum": 3}),
            ("size", "size", {"name": "x", "size": 1}),
            ("size 0", "size", {"name": "x", "size": 0}),
            ("base", "base", {"name": "x", "size": PAGE, "base": 1}),
            ("end", "size", {"name": "x", "size": 2 * PAGE,
                             "base": "0xfffffffffffff000"}),
            ("caches", "qcache_max",
             {"name": "x", "size": PAGE, "qcache_max": 65 * PAGE}),
            ("both", "shared", {"name": "x", "size": PAGE, "pageable": True,
                                "shared": True}),
            ("no span", "size", {"name": "x", "source": "kernel_va",
                                 "pageable": True}),
            ("of wired", "source", {"name": "x", "source": "kmem",
                                    "size": PAGE, "pageable": True}),
            ("policy", "policy", {"name": "x", "size": PAGE, "policy": "x"})]:
        c.error("create: " + what, -32602, "invalid_params", field,
                "arena.create", **params)
    c.error("create: source", 2, "no_arena", "source", "arena.create",
            name="x", source="y")
    c.error("create: too large", 1, "no_space", "size", "arena.create",
            name="x", size="900G", pageable=True)
    c.error("heap stays", 7, "busy", None, "arena.destroy", arena="heap",
            force=True)
    c.close()


def partial(d):
    """Pieces of everything: caches, single segments, pageable or not."""
    c = d.connect()
    for arena, pages in [("heap", 8), ("heap", 40), ("kernel_va", 8),
                         ("kmem_va", 8)]:
        before = c.ok("stats", arena=arena)["inuse_bytes"]
        held = c.ok("reap", arena=arena)
        base = int(c.ok("alloc", arena=arena, size=pages * PAGE,
                        tag="piece")["addr"], 16)
        middle = base + 2 * PAGE
        if arena == "heap":
            c.ok("fill", addr=base)
        equal("middle", c.ok("free", arena=arena, addr=middle,
                             size=2 * PAGE, partial=True),
              {"freed": 1, "bytes": 2 * PAGE})
        c.error("again", 3, "not_allocated", None, "free", arena=arena,
                addr=middle, size=PAGE, partial=True)
        c.error("over the end", 3, "not_allocated", None, "free",
                arena=arena, addr=base + PAGE, size=2 * PAGE, partial=True)
        c.error("the middle isn't there", 3, "not_allocated", None, "touch",
                arena=arena, addr=middle)
        if arena == "heap":
            equal("the head is", c.ok("verify", addr=base)["bytes"], 2 * PAGE)
            equal("the tail is", c.ok("verify", addr=base + 4 * PAGE)["bytes"],
                  (pages - 4) * PAGE)
        equal("head and tail", c.ok("free", arena=arena, tag="piece"),
              {"freed": 2, "bytes": (pages - 2) * PAGE})
        c.ok("reap", arena=arena)
        check("nothing lost", held is not None and c.ok(
            "stats", arena=arena)["inuse_bytes"] <= before)
    c.close()


def data(d):
    c = d.connect()
    for arena, size in [("heap", 6 * PAGE), ("kmem", 100)]:
        a = c.ok("alloc", arena=arena, size=size)
        addr, size = int(a["addr"], 16), a["size"]
        zeros = base64.b64decode(c.ok("read", arena=arena, addr=addr,
                                      len=size)["data"])
        equal("zero", zeros, bytes(size))
        payload = bytes(range(100))
        equal("write", c.ok("write", arena=arena, addr=addr, data=base64
                            .b64encode(payload).decode())["bytes"], 100)
        equal("read", base64.b64decode(c.ok(
            "read", arena=arena, addr=addr + 10, len=50)["data"]),
            payload[10:60])
        c.error("over the end", 3, "not_allocated", None, "read", arena=arena,
                addr=addr + size - 1, len=2)
        c.ok("fill", arena=arena, addr=addr, seed=5)
        c.ok("verify", arena=arena, addr=addr, seed=5)
        reply = c.call("verify", arena=arena, addr=addr, seed=6)
        expect_error("other seed", reply, 15, "mismatch")
        # Single bytes of two patterns may be the same.
        where = int(reply["error"]["data"]["addr"], 16) - addr
        check("where", 0 <= where < 16, where)
        c.ok("write", arena=arena, addr=addr + 77, data="AA==")
        # A pattern's byte may be 0 itself; then this one is no mismatch.
        reply = c.call("verify", arena=arena, addr=addr, seed=5)
        if "error" in reply:
            equal("which", reply["error"]["data"]["addr"], hex(addr + 77))
        c.ok("free", arena=arena, addr=addr)
    # What was freed comes back as zeros, whoever had it.
    for arena, size in [("heap", 64 * 1024), ("kmem", 512), ("kmem", 5000)]:
        for _ in range(3):
            a = c.ok("alloc", arena=arena, size=size)
            got = base64.b64decode(c.ok("read", arena=arena, addr=a["addr"],
                                        len=a["size"])["data"])
            check("recycled memory is zero", not any(got))
            c.ok("fill", arena=arena, addr=a["addr"])
            c.ok("free", arena=arena, addr=a["addr"])
    a = c.ok("alloc", arena="kernel_va", size=PAGE)["addr"]
    c.error("plain VA", 10, "not_pageable", None, "touch", arena="kernel_va",
            addr=a)
    c.ok("free", arena="kernel_va", addr=a)
    a = c.ok("alloc", arena="kmem", size=64)["addr"]
    c.error("wired", 10, "not_pageable", None, "touch", arena="kmem", addr=a)
    c.ok("free", arena="kmem", addr=a)
    # More than frames: to the swap and back; more than both: no_frames.
    a = c.ok("alloc", size="24M")["addr"]
    c.ok("fill", addr=a)
    c.ok("verify", addr=a)
    touched = c.ok("touch", addr=a)
    equal("pages", touched["pages"], 24 * 256)
    check("major faults", touched["major"] > 0)
    c.ok("free", addr=a)
    a = c.ok("alloc", size="64M")["addr"]
    c.error("too much", 9, "no_frames", None, "fill", addr=a)
    c.ok("free", addr=a)
    c.ok("set", name="commit", value="strict")
    c.error("strict", 9, "no_frames", None, "alloc", size="64M")
    c.ok("set", name="commit", value="overcommit")
    c.close()


# ---- waiting ----------------------------------------------------------------

def waiting(d):
    c, other = d.connect(), d.connect()
    c.ok("arena.create", name="w", size=4 * PAGE)
    a = c.ok("alloc", arena="w", size=4 * PAGE)["addr"]
    c.error("in time", 5, "timed_out", None, "alloc", arena="w", size=PAGE,
            sleep_ms=20)
    c.error("never", 1, "no_space", None, "alloc", arena="w", size=8 * PAGE,
            sleep_ms=-1)
    for i in range(4):
        c.send(encode("alloc", {"arena": "w", "size": PAGE, "sleep_ms": -1},
                      "w%d" % i))
    c.silent("those behind go on")
    me = other.ok("clients")
    equal("listed", [x["waiting"] for x in me if x["waiting"]],
          [["w0", "w1", "w2", "w3"]])
    ident = [x["client"] for x in me if x["waiting"]][0]
    equal("cancel another's", other.ok("cancel", id="w1", client=ident), {})
    reply = c.line()
    equal("which", reply["id"], "w1")
    expect_error("cancelled", reply, 14, "cancelled")
    c.send(encode("cancel", {"id": "w2"}, "c"))
    replies = {r["id"]: r for r in (c.line(), c.line())}
    expect_error("cancelled too", replies["w2"], 14)
    equal("by itself", replies["c"]["result"], {})
    c.error("it is gone", -32602, "invalid_params", "id", "cancel", id="w2")
    # Freed by another connection: granted in the order of asking.
    other.ok("free", arena="w", addr=a)
    granted = [c.line(), c.line()]
    equal("granted in order", [r["id"] for r in granted], ["w0", "w3"])
    check("an address each", len({r["result"]["addr"] for r in granted}) == 2)
    # count with sleep_ms: nothing until all fit.
    c.send(encode("alloc", {"arena": "w", "size": PAGE, "count": 4,
                            "sleep_ms": -1}, "four"))
    other.ok("free", arena="w", addr=granted[0]["result"]["addr"])
    c.silent("three aren't four")
    other.ok("free", arena="w", addr=granted[1]["result"]["addr"])
    equal("four", len(c.line()["result"]["addrs"]), 4)
    # at, waiting.
    base = int(c.ok("arena.info", arena="w")["base"], 16)
    c.send(encode("alloc", {"arena": "w", "size": PAGE, "at": base + PAGE,
                            "sleep_ms": 60000}, "at"))
    c.silent("taken")
    other.ok("free", arena="w", addr=base + PAGE)
    equal("at", int(c.line()["result"]["addr"], 16), base + PAGE)
    # A waiter whose connection ends leaves the queue, and takes nothing.
    gone = d.connect()
    gone.request("alloc", arena="w", size=2 * PAGE, sleep_ms=-1)
    poll(lambda: any(x["waiting"] for x in other.ok("clients")),
         "the waiter")
    gone.close()
    poll(lambda: not any(x["waiting"] for x in other.ok("clients")),
         "its end")
    # The arena's end ends those who wait for it.
    c.send(encode("alloc", {"arena": "w", "size": PAGE, "sleep_ms": -1}, "x"))
    c.silent("waits")
    other.error("in use", 7, "busy", None, "arena.destroy", arena="w")
    other.ok("arena.destroy", arena="w", force=True)
    expect_error("destroyed", c.line(), 14, "cancelled")
    # Many at once, of several connections, that come and go.
    c.ok("arena.create", name="w", size=64 * PAGE)
    conns = [d.connect() for _ in range(20)]
    a = c.ok("alloc", arena="w", size=64 * PAGE)["addr"]
    for conn in conns:
        for _ in range(10):
            conn.request("alloc", arena="w", size=PAGE, sleep_ms=-1)
        # Queued before the next one's: connections have several workers.
        conn.silent("waits")
    for conn in conns[1::2]:
        conn.close()
    c.ok("free", arena="w", addr=a)
    # 10 connections of 10 live on, of which the first 64 fit; what others
    # were granted before their end was seen comes back.
    for conn in conns[0:12:2]:
        for _ in range(10):
            check("granted", "result" in conn.line())
    for conn in conns[::2]:
        conn.close()
    poll(lambda: c.ok("stats", arena="w")["inuse_bytes"] == 0, "all back")
    c.ok("arena.destroy", arena="w")
    c.close()
    other.close()


# ---- ownership, quotas ------------------------------------------------------

def ownership(d):
    c, mine = d.connect(), d.connect()
    c.ok("reap")
    before = c.ok("stats", arena="heap")["inuse_bytes"]
    mine.ok("alloc", size="1M")
    mine.ok("alloc", size="64K", count=100)
    kept = mine.ok("alloc", size="128K", keep=True, tag="kept")["addr"]
    mine.close()

    def released():
        c.ok("reap")
        return (c.ok("stats", arena="heap")["inuse_bytes"] ==
                before + 128 * 1024)
    poll(released, "what the connection owned")
    equal("kept", c.ok("free", addr=kept)["bytes"], 128 * 1024)
    # Killed in the midst of it.
    script = ("import socket,sys,time\n"
              "s=socket.socket(socket.AF_UNIX)\n"
              "s.connect(sys.argv[1])\n"
              "r=b'{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"alloc\","
              "\"params\":{\"size\":4096}}\\n'\n"
              "s.sendall(r*200+r[:30])\n"
              "print('.',flush=True)\n"
              "time.sleep(600)\n")
    for _ in range(5):
        victim = subprocess.Popen([sys.executable, "-c", script, d.path],
                                  stdout=subprocess.PIPE)
        victim.stdout.readline()
        victim.kill()
        victim.wait()
        victim.stdout.close()

    def all_back():
        c.ok("reap")
        return c.ok("stats", arena="heap")["inuse_bytes"] == before
    poll(all_back, "what the killed had")
    # Another user: may not touch ours, nor the verbs of root.
    if os.getuid() == 0:
        addr = c.ok("alloc", size=PAGE)["addr"]
        os.chmod(d.dir, 0o755)
        os.chmod(d.path, 0o666)
        other_user(d.path, addr)
        c.ok("free", addr=addr)
    c.close()


def other_user(path, addr):
    """In a child that has become nobody: 8 checks."""
    pid = os.fork()
    if pid != 0:
        equal("as another user", os.waitpid(pid, 0)[1], 0)
        return
    global failures
    failures = 0
    os.setgid(65534)
    os.setuid(65534)
    n = Conn(path)
    n.error("free", 4, "not_owner", None, "free", addr=addr)
    n.error("part", 4, "not_owner", None, "free", addr=addr, size=PAGE,
            partial=True)
    n.error("read", 4, "not_owner", None, "read", addr=addr, len=1)
    n.error("fill", 4, "not_owner", None, "fill", addr=addr)
    n.error("force", 4, "not_owner", "force", "free", all=True, force=True)
    n.error("shutdown", 4, "not_owner", None, "shutdown")
    n.error("set", 4, "not_owner", None, "set", name="log_level",
            value="debug")
    equal("all of its own", n.ok("free", all=True), {"freed": 0, "bytes": 0})
    mine = n.ok("alloc", size=PAGE)["addr"]
    n.ok("write", addr=mine, data="AAAA")
    equal("its uid", n.ok("info")["uid"], 65534)
    os._exit(1 if failures else 0)


def quotas(d):
    c = d.connect()
    c.ok("set", name="quota_bytes", value="1M")
    c.error("bytes", 6, "quota", "size", "alloc", size="2M")
    c.error("in all", 6, "quota", "size", "alloc", size="64K", count=17)
    a = c.ok("alloc", size="1M", keep=True)["addr"]
    c.error("no more", 6, "quota", "size", "alloc", size=1)
    c.error("fragment", 6, "quota", "bytes", "fragment", bytes="512K")
    c.ok("free", addr=a)
    c.ok("set", name="quota_segments", value=10)
    equal("ten", len(c.ok("alloc", size=PAGE, count=10)["addrs"]), 10)
    c.error("eleven", 6, "quota", "size", "alloc", size=1)
    c.ok("free", all=True)
    c.ok("set", name="quota_bytes", value=0)
    c.ok("set", name="quota_segments", value=0)
    c.ok("free", addr=c.ok("alloc", size="64M")["addr"])
    c.close()


# ---- dumps, slow readers ----------------------------------------------------

def dumps(d):
    c = d.connect()
    addrs = c.ok("alloc", size=3 * PAGE, count=500, tag="t")["addrs"]
    c.ok("free", addrs=addrs[::2])
    kept = sorted(addrs[1::2], key=lambda a: int(a, 16))

    def pages(what, limit):
        cursor, entries = None, []
        while True:
            params = {"what": what, "limit": limit}
            if cursor is not None:
                params["cursor"] = cursor
            page = c.ok("dump", **params)
            check("page", len(page["entries"]) <= limit)
            entries += page["entries"]
            cursor = page["cursor"]
            if cursor is None:
                return entries

    whole = pages("segments", 100000)
    for limit in (1, 7, 100):
        equal("pages of %d" % limit, pages("segments", limit), whole)
    equal("the tagged", [e["addr"] for e in whole if e.get("tag") == "t"],
          kept)
    end = 0
    for e in sorted(whole + pages("free", 1000),
                    key=lambda e: int(e["addr"], 16)):
        check("no overlap", int(e["addr"], 16) >= end, e)
        end = int(e["addr"], 16) + e["size"]
    stats = c.ok("stats", arena="heap")
    equal("in use", sum(e["size"] for e in whole),
          stats["inuse_bytes"] + stats["qcache"]["idle_bytes"])
    # The same as a stream.
    ident = c.request("dump", what="segments", stream=True)
    streamed = []
    while True:
        reply = c.line()
        if "method" not in reply:
            break
        equal("chunk", (reply["method"], reply["params"]["id"]),
              ("chunk", ident))
        streamed += reply["params"]["entries"]
    equal("count", reply["result"]["count"], len(whole))
    equal("streamed", streamed, whole)
    c.ok("fill", addr=kept[0])
    faults = {e["addr"]: e for e in c.ok("dump", what="faults")["entries"]}
    equal("dirty", (faults[kept[0]]["state"], faults[kept[0]]["size"]),
          ("dirty", 3 * PAGE))
    m = c.ok("dump", what="map", columns=10)
    equal("cells", len(m["cells"]), m["columns"])
    used = sum(x["used"] for x in m["cells"]) * m["cell_bytes"]
    check("used", abs(used - sum(e["size"] for e in whole)) < 10 * PAGE)
    check("caches", c.ok("dump", what="caches")["entries"][0]["size"] == PAGE)
    everything = c.ok("dump", what="all", limit=10)
    check("all", {"stats", "caches", "map", "entries", "cursor"} <=
          set(everything))
    c.ok("free", all=True)
    c.ok("reap")
    c.close()


def fragments(d):
    c = d.connect()
    for pattern in ("checkerboard", "random", "comb", "aging"):
        for target in (0.0, 0.3, 0.8):
            after = c.ok("fragment", pattern=pattern, target=target,
                         bytes="32M", seed=3, tag="f")["after"]
            check("%s %.1f" % (pattern, target),
                  abs(after["external_fragmentation"] - target) < 0.03, after)
            c.ok("free", tag="f")
    for field, params in [("sizes", {"sizes": "normal:1-2"}),
                          ("sizes", {"sizes": "uniform:8K-4K"}),
                          ("sizes", {"sizes": "fixed:0"}),
                          ("target", {"target": 1.5}),
                          ("pattern", {"pattern": "x"}),
                          ("bytes", {"bytes": 0}),
                          ("bytes", {"bytes": "1P"})]:
        c.error("fragment", -32602, "invalid_params", field, "fragment",
                **params)
    c.error("more than there is", 1, "no_space", "bytes", "fragment",
            bytes="2G", sizes="fixed:16M")
    equal("undone", c.ok("free", all=True)["freed"], 0)
    c.close()


def slow_reader(d):
    """One that doesn't read is held up; others aren't, and memory isn't."""
    slow, c = d.connect(), d.connect()
    slow.sock.setblocking(False)
    # 200 MB of replies, if they were all made.
    line = encode("methods", None, 1)
    sent = 0
    try:
        while sent < 10000 * len(line):
            sent += slow.sock.send(line * 100)
    except BlockingIOError:
        pass
    check("held up", sent < 10000 * len(line), sent)
    for _ in range(100):
        c.silent("the others go on")
    poll(lambda: max(x["backlog_bytes"]
                     for x in c.ok("clients")) > 0, "a backlog")
    check("bounded", max(x["backlog_bytes"] for x in
                         c.ok("clients")) < 2 << 20)
    slow.sock.setblocking(True)
    slow.sock.settimeout(TIMEOUT_S)
    for _ in range(sent // len(line)):
        if "result" not in slow.line():
            check("a reply", False)
            break
    slow.close()
    # A stream, too.
    c.ok("alloc", size=PAGE, count=20000, tag="many")
    slow = d.connect()
    slow.request("dump", what="segments", stream=True)
    for _ in range(20):
        c.silent("beside a stream")
    count = 0
    while True:
        reply = slow.line()
        if "method" not in reply:
            break
        count += len(reply["params"]["entries"])
    equal("all of it", count, reply["result"]["count"])
    check("enough of it", count >= 20000)
    # And one that leaves in the midst.
    gone = d.connect()
    gone.request("dump", what="segments", stream=True)
    gone.line()
    gone.close()
    equal("freed", c.ok("free", tag="many")["freed"], 20000)
    slow.close()
    c.close()


# ---- crowds -----------------------------------------------------------------

def crowd(d):
    """50 connections at random, against a model of who has what."""
    seed = random.randrange(1 << 32)
    print("seed", seed, flush=True)
    rng = random.Random(seed)
    conns = [d.connect() for _ in range(50)]
    taken = {}
    for _ in range(150):
        waiting_for = []
        for conn in conns:
            for _ in range(rng.randrange(1, 5)):
                if taken and rng.random() < 0.45:
                    addr = rng.choice(list(taken))
                    size = taken.pop(addr)
                    waiting_for.append((conn, conn.request(
                        "free", addr=addr, size=size), None))
                else:
                    size = PAGE * rng.randrange(1, 30)
                    waiting_for.append((conn, conn.request(
                        "alloc", size=size), size))
        for conn, ident, size in waiting_for:
            reply = conn.line()
            equal("in order", reply["id"], ident)
            check("granted", "result" in reply, reply)
            if size is not None:
                taken[int(reply["result"]["addr"], 16)] = size
    end = 0
    for addr in sorted(taken):
        check("no overlap", addr >= end)
        end = addr + taken[addr]
    for conn in conns:
        conn.close()


def many_connections(d):
    conns = [d.connect() for _ in range(300)]
    for conn in conns:
        conn.request("ping")
    for conn in conns:
        equal("one of many", conn.line()["result"], {})
    for conn in conns:
        conn.close()


# ---- the end ----------------------------------------------------------------

def everything_back(d):
    c = d.connect()

    def idle():
        c.ok("reap")
        stats = c.ok("stats")
        return (stats["daemon"]["allocations"] == 0 and
                stats["daemon"]["clients"] == 1 and
                stats["arenas"]["heap"]["inuse_bytes"] == 0 and
                stats["arenas"]["kmem"]["inuse_bytes"] == 0 and
                stats["arenas"]["heap"]["pager"]["map_entries"] == 0)
    poll(idle, "everything to be given back")
    equal("check", c.ok("check"), {"violations": 0})
    c.close()


def drains(options):
    """Shutdown: refused, cancelled and answered; then the end."""
    d = Daemon(*options)
    c, waiter, idle = d.connect(), d.connect(), d.connect()
    c.ok("arena.create", name="w", size=PAGE)
    c.ok("alloc", arena="w", size=PAGE, keep=True)
    waiter.request("alloc", arena="w", size=PAGE, sleep_ms=-1)
    poll(lambda: any(x["waiting"] for x in c.ok("clients")),
         "the waiter")
    a = c.ok("alloc", size="4M")["addr"]
    c.send(encode("fill", {"addr": a}, 1) + encode("shutdown", {}, 2) +
           encode("alloc", {"size": 1}, 3) + encode("free", {"addr": a}, 4) +
           encode("ping", None, 5))
    replies = [c.line() for _ in range(5)]
    equal("answered in order", [r["id"] for r in replies], [1, 2, 3, 4, 5])
    check("filled", "result" in replies[0], replies[0])
    expect_error("draining", replies[2], 12, "shutting_down")
    check("free goes on", "result" in replies[3], replies[3])
    expect_error("the waiter", waiter.line(), 12, "shutting_down")
    equal("closed", idle.sock.recv(1), b"")
    equal("closed, too", waiter.sock.recv(1), b"")
    equal("exit status", d.process.wait(TIMEOUT_S), 0)
    for conn in (c, waiter, idle):
        conn.close()
    d.discard()


def ends_under_load(options, how):
    d = Daemon(*options)
    conns = [d.connect() for _ in range(20)]
    for conn in conns:
        conn.send(b"".join(
            encode("alloc", {"size": 8192, "keep": bool(i % 2)}, i)
            for i in range(200)))
        conn.send(encode("alloc", {"size": "1G", "sleep_ms": -1}, "w"))
    d.end(how)
    for conn in conns:
        conn.close()


def no_descriptors():
    """Out of descriptors, the daemon refuses, doesn't spin, and recovers."""
    wrapper = os.path.join(tempfile.mkdtemp(), "vmemd")
    with open(wrapper, "w") as f:
        f.write("#!/bin/sh\nulimit -n 40\nexec '%s' \"$@\"\n" %
                os.path.abspath(VMEMD))
    os.chmod(wrapper, 0o755)
    d = Daemon(program=wrapper)
    conns = []
    try:
        while len(conns) < 100:
            conn = d.connect()
            conn.silent("one more")
            conns.append(conn)
    except (EOFError, OSError):
        pass
    check("refused", 5 < len(conns) < 100, len(conns))
    with open("/proc/%d/stat" % d.process.pid) as f:
        before = sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])
    conns[0].silent("the others go on")
    time.sleep(0.5)
    with open("/proc/%d/stat" % d.process.pid) as f:
        after = sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])
    check("doesn't spin", after - before < 25, after - before)
    while conns:
        conns.pop().close()

    def served():
        try:
            conn = d.connect()
            conn.silent("again")
            conn.close()
            return True
        except (EOFError, OSError):
            return False
    poll(served, "connections to be accepted again")
    d.end()
    shutil.rmtree(os.path.dirname(wrapper))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for options in ([], ["--threads", "1"]):
        d = Daemon(*options)
        for test in (bad_lines, long_lines, envelopes, parameters, order,
                     batches, notifications, allocations, full_arena, partial,
                     data, waiting, ownership, quotas, dumps, fragments,
                     slow_reader, crowd, many_connections, everything_back):
            before = failures
            try:
                test(d)
            except (AssertionError, EOFError, OSError, KeyError) as e:
                traceback.print_exc(file=sys.stdout)
                check(test.__name__, False, repr(e))
                if d.process.poll() is not None:
                    break
            print(test.__name__, "ok" if failures == before else "FAILED",
                  flush=True)
        d.end()
        drains(options)
        ends_under_load(options, signal.SIGTERM)
    ends_under_load([], signal.SIGINT)
    no_descriptors()
    return 1 if failures else 0


sys.exit(main())
