"""The SDK in ordinary Python: what is rendered, and the server in miniature."""

import unittest

from stormglass import (
    Batch,
    Chunk,
    Collector,
    FunctionCall,
    Metrics,
    PluginError,
    clock,
    dns,
    files,
    http,
    kinds,
    kv,
    log,
    net,
    plugin,
    query,
    secrets,
    telemetry,
)
from stormglass.testing import Host, collect


class Rendering(unittest.TestCase):
    def check(self, fill, expected: str) -> None:
        out = Metrics()
        fill(out)
        self.assertEqual(out.render(), expected)

    def test_families_keep_together(self) -> None:
        def fill(out: Metrics) -> None:
            out.gauge("a", "A.").set(1)
            out.counter("b_total", "B.").set(2, x="1")
            out.gauge("a", "Other.").set(3, {"le-gal": "no"}, y="2")

        self.check(
            fill,
            '# HELP a A.\n# TYPE a gauge\na 1.0\na{le-gal="no",y="2"} 3.0\n'
            '# HELP b_total B.\n# TYPE b_total counter\nb_total{x="1"} 2.0\n',
        )

    def test_numbers_and_texts_of_any_kind(self) -> None:
        def fill(out: Metrics) -> None:
            family = out.gauge("n", "Two\nlines, a \\.")
            for value in (float("nan"), float("inf"), float("-inf"), 1e300, True):
                family.set(value, value='"\\\n')

        escaped = '{value="\\"\\\\\\n"}'
        self.check(
            fill,
            "# HELP n Two\\nlines, a \\\\.\n# TYPE n gauge\n"
            + "".join(f"n{escaped} {text}\n" for text in ("NaN", "+Inf", "-Inf", "1e+300", "1.0")),
        )

    def test_text_and_samples_exclude_each_other(self) -> None:
        out = Metrics()
        out.text("a 1\n")
        self.assertEqual(out.render(), "a 1\n")
        out.gauge("b", "B.")
        with self.assertRaises(PluginError):
            out.render()


class Surroundings(unittest.TestCase):
    def test_a_plugin_sees_the_host_of_its_test(self) -> None:
        class Asks(Collector):
            def collect(self, out: Metrics) -> None:
                log.info("asking")
                answer = http.get("http://api/").check().json()
                out.gauge("answer", "").set(answer["n"])
                out.gauge("now", "").set(clock.now_ms())
                out.gauge("file", "").set(len(files.read("/etc/storm")))

        host = Host(now_ms=7, http=lambda *_: (200, '{"n": 3}'), files={"/etc/storm": "glass"})
        with host:
            self.assertEqual(collect(Asks({})), "answer 3.0\nnow 7.0\nfile 5.0\n")
            self.assertEqual(host.lines, [("info", "asking")])
            with self.assertRaises(files.FileError):
                files.read("/etc/shadow")
        with self.assertRaises(RuntimeError):
            clock.now_ms()

    def test_what_is_not_granted_is_refused(self) -> None:
        with Host(), self.assertRaises(http.HttpError) as refused:
            http.get("http://api/")
        self.assertEqual((refused.exception.kind, refused.exception.retryable), ("denied", False))

    def test_a_project_has_one_plugin(self) -> None:
        plugin(type("One", (Collector,), {}))
        try:
            with self.assertRaises(TypeError):
                plugin(type("Two", (Collector,), {}))
        finally:
            kinds._registered = None

    def test_state_secrets_queries_and_telemetry(self) -> None:
        answer = Batch().add("up", {"job": "a"}, 1)
        host = Host(kv={"old": b"1"}, secrets={"token": "sesame"}, query=lambda expr: answer)
        with host:
            kv.set_json("new", {"n": 2})
            self.assertEqual((kv.get_json("new"), kv.get("none"), kv.keys()), ({"n": 2}, None, ["new", "old"]))
            self.assertEqual(secrets.get("token"), "sesame")
            with self.assertRaises(secrets.SecretError):
                secrets.get("other")
            self.assertEqual(query.instant("up").series[0].samples, [(None, 1)])
            telemetry.counter_add("asked_total", 2, {"by": "me"})
            self.assertEqual(host.telemetry, {("asked_total", ("by", "me")): 2.0})
        with Host(), self.assertRaises(query.QueryError):
            query.instant("up")


class Servers(unittest.TestCase):
    def test_connections_and_look_ups(self) -> None:
        talk = [(b"PING\r\n", b"+PONG\r\nmo"), (b"QUIT\n", b"re\n")]
        record = dns.Record("a.example.", 5, dns.Exchange(1, "mail.example."))
        with Host(net=lambda place: talk, dns=lambda name, type: [record]):
            with net.connect("cache.example", 6379) as connection:
                connection.write("PING\r\n")
                self.assertEqual(connection.read_line(), b"+PONG")
                with self.assertRaisesRegex(net.NetError, "waits"):
                    connection.read_exact(3)
                connection.write(b"QUIT\n")
                self.assertEqual([connection.read_line(), connection.read_line()], [b"re", None])
                self.assertRaises(net.NetError, connection.write, "more")
            self.assertEqual(dns.lookup("a.example", "mx"), [record])
        with Host():
            self.assertRaises(net.NetError, net.connect, "a", 1)
            self.assertRaises(dns.DnsError, dns.lookup, "a", "a")


class Data(unittest.TestCase):
    def test_lines_of_streams_and_datagrams(self) -> None:
        chunk = Chunk(b"a\r\n\nb\nc", last=False)
        self.assertEqual((chunk.lines(), chunk.consumed), (["a", "b"], 6))
        chunk = Chunk(b"abc\nd", [1, 3, 5])
        self.assertEqual((chunk.lines(), chunk.consumed), (["a", "bc", "d"], 5))

    def test_samples_are_gathered_by_series(self) -> None:
        batch = Batch().add("m", {"a": "1"}, 1, 10).add("m", {"a": "2"}, 2).add("m", {"a": "1"}, 3, 30)
        self.assertEqual([series.samples for series in batch.series], [[(10, 1), (30, 3)], [(None, 2)]])
        batch.rewrite(lambda labels: labels["a"] == "2")
        self.assertEqual(len(batch.series), 1)

    def test_windows_and_scalars(self) -> None:
        call = FunctionCall("f", 0, 1, 2, 1, [1, 2, 3], [10, 20, 30], [0, 1], [2, 3], [5, 6])
        self.assertEqual(call.windows(), [([10, 20], [1, 2]), ([20, 30], [2, 3])])
        self.assertEqual((call.scalar(0, 1, 0), call.scalar(1, 0, 7)), (6, 7))


if __name__ == "__main__":
    unittest.main()
