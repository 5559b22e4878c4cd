"""Downloads from a server on this machine that breaks off, forgets, changes its file and lies."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import sys
import threading

import numpy as np
import pytest

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import locate, transfer

CONTENT = np.random.default_rng(0).bytes(700_000)
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()
MOST = 10**6
CHUNK = transfer.CHUNK


class Server:
    """What is served, how, and what was asked for.

    Args (attributes): content, tag; ranges: whether the server knows them; breaks: after so many bytes each of the next
        answers ends; length: whether it says how much will come; lies: so many bytes before the place that was asked for
        an answer begins; part_unasked: whether it calls the whole a part.
    """

    def __init__(self):
        self.content, self.tag, self.ranges, self.length, self.breaks, self.asked = CONTENT, '"one"', True, True, [], []
        self.lies, self.part_unasked = 0, False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                outer.answer(self)

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.handle_error = lambda *_: None  # who hangs up early is no news
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}/corpus.bin"

    def answer(self, request):
        self.asked.append(request.headers.get("Range"))
        start, whole = 0, len(self.content)
        if self.ranges and self.asked[-1] and request.headers.get("If-Range") == self.tag:
            start = int(self.asked[-1].removeprefix("bytes=").rstrip("-"))
            if start >= whole:
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{whole}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
        start -= self.lies if start else 0
        request.send_response(206 if start or self.part_unasked else 200)
        if self.tag:
            request.send_header("ETag", self.tag)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        body = self.content[start:]
        if self.length:
            request.send_header("Content-Length", str(len(body)))
        else:
            request.close_connection = True
        request.end_headers()
        if self.breaks:
            body = body[: self.breaks.pop(0)]
            request.close_connection = True
        request.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    """A server on this machine; downloads are allowed."""
    monkeypatch.delenv("ODYSSEY_OFFLINE")
    made = Server()
    thread = threading.Thread(target=made.httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.httpd.shutdown()
    made.httpd.server_close()
    thread.join()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cache" / "corpus.bin"


def left(file):
    """What lies in the folder, the lock aside."""
    return sorted(each.name for each in file.parent.iterdir() if not each.name.endswith(".lock"))


def test_a_transfer_that_breaks_is_gone_on_with(server, file):
    """Three answers that end early are followed by requests for the rest alone; the file is whole, nothing lies beside it."""
    server.breaks = [2 * CHUNK, 4 * CHUNK, CHUNK]
    assert transfer.fetch(server.url, file, CHECKSUM, MOST) == CHECKSUM
    assert server.asked == [None, f"bytes={2 * CHUNK}-", f"bytes={6 * CHUNK}-", f"bytes={7 * CHUNK}-"]
    assert file.read_bytes() == CONTENT and left(file) == ["corpus.bin"]


def test_a_later_try_goes_on_where_the_first_ended(server, file):
    """Where an answer brings nothing the error says what is kept; the next call asks for the rest."""
    server.breaks = [4 * CHUNK + 9, 0]
    with pytest.raises(
        OSError, match=r"the transfer broke .*; 262144 bytes are kept, and the next try goes on from there"
    ):
        transfer.fetch(server.url, file, CHECKSUM, MOST)
    assert left(file) == ["corpus.bin.part", "corpus.bin.part.etag"]
    assert transfer.fetch(server.url, file, CHECKSUM, MOST) == CHECKSUM
    assert server.asked[-1] == f"bytes={4 * CHUNK}-" and file.read_bytes() == CONTENT and left(file) == ["corpus.bin"]


@pytest.mark.parametrize("change", ["no ranges", "another file", "no tag"])
def test_what_cannot_be_gone_on_with_begins_again(server, file, change):
    """A server without ranges, one whose file has changed, one that tags nothing: all of it once more, not a mixture."""
    server.tag = "" if change == "no tag" else server.tag
    server.ranges = change != "no ranges"
    server.breaks = [4 * CHUNK + 9, 0]
    with pytest.raises(OSError, match="the transfer broke"):
        transfer.fetch(server.url, file, None, MOST)
    if change == "another file":
        server.content, server.tag = CONTENT[::-1], '"two"'
    got = transfer.fetch(server.url, file, None, MOST)
    assert file.read_bytes() == server.content and got == hashlib.sha256(server.content).hexdigest()


def test_a_rest_of_another_file_is_found_by_the_checksum(server, file):
    """A part that is not the beginning of the file, with its tag: the checksum fails, all of it is asked for at once."""
    file.parent.mkdir()
    file.with_name("corpus.bin.part").write_bytes(bytes(1000))
    file.with_name("corpus.bin.part.etag").write_text(server.tag)
    assert transfer.fetch(server.url, file, CHECKSUM, MOST) == CHECKSUM
    assert server.asked == ["bytes=1000-", None]


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 5])
def test_a_part_that_is_whole_or_too_long_ends_well(server, file, size):
    """The server has nothing after it (416): a whole part is taken, a longer one thrown away."""
    file.parent.mkdir()
    file.with_name("corpus.bin.part").write_bytes((CONTENT + b"12345")[:size])
    file.with_name("corpus.bin.part.etag").write_text(server.tag)
    assert transfer.fetch(server.url, file, CHECKSUM, MOST) == CHECKSUM
    assert file.read_bytes() == CONTENT and left(file) == ["corpus.bin"]


@pytest.mark.parametrize("checksum", [CHECKSUM, None])
def test_a_part_that_begins_elsewhere_is_not_the_file(server, file, checksum):
    """The server answers with another range than was asked for: all of it is asked for, whatever is known of the file."""
    server.breaks, server.lies = [4 * CHUNK], 9
    assert transfer.fetch(server.url, file, checksum, MOST) == CHECKSUM
    assert server.asked == [None, f"bytes={4 * CHUNK}-", None]
    assert file.read_bytes() == CONTENT and left(file) == ["corpus.bin"]


def test_a_part_that_nobody_asked_for_is_refused(server, file):
    """A server that answers with a part where the whole was asked for is not asked again and again."""
    server.part_unasked = True
    with pytest.raises(OSError, match=r"a part of the file \(206, Content-Range ''\); expected all of it"):
        transfer.fetch(server.url, file, None, MOST)
    assert server.asked == [None] and left(file) == []


def test_a_wrong_file_is_refused_and_forgotten(server, file):
    """Another sha256 is said with both; nothing of it is kept, so that the next try begins anew."""
    server.content = b"something else"
    with pytest.raises(ValueError, match=rf"14 bytes with the sha256 \w{{64}}; expected {CHECKSUM}"):
        transfer.fetch(server.url, file, CHECKSUM, MOST)
    assert left(file) == []


@pytest.mark.parametrize("length", [True, False])
def test_too_large_a_file_is_not_kept(server, file, length):
    """A server that says a size beyond the bound is refused at once, one that says none when the bound is passed."""
    server.length = length
    with pytest.raises(
        ValueError, match="700000 bytes; expected at most 500000" if length else "more than 500000 bytes"
    ):
        transfer.fetch(server.url, file, CHECKSUM, 500_000)
    assert left(file) == []


def test_a_server_that_says_no_length_is_believed_by_the_checksum(server, file):
    """Without a length the end of the connection is the file's; the checksum says whether it was."""
    server.length, server.breaks = False, [1000]
    with pytest.raises(ValueError, match="1000 bytes with the sha256"):
        transfer.fetch(server.url, file, CHECKSUM, MOST)
    assert transfer.fetch(server.url, file, CHECKSUM, MOST) == CHECKSUM


def test_two_processes_take_turns(server, file):
    """Two that start together bring the file once, or one after the other, and neither spoils the other's part."""
    code = (
        "import sys; from pathlib import Path; from lstm_odyssey.tasks.files import transfer; "
        f"print(transfer.fetch({server.url!r}, Path({str(file)!r}), {CHECKSUM!r}, 10**6))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [each.communicate(timeout=120) for each in running]
    assert [(output.strip(), error) for output, error in told] == [(CHECKSUM, "")] * 2
    assert server.asked == [None] and file.read_bytes() == CONTENT


def test_a_mirror_is_asked_after_the_first_address(server, tmp_path, monkeypatch):
    """A corpus whose first address is gone comes from its mirror; its checksum is recorded beside it."""
    monkeypatch.setattr(locate, "cache_folder", lambda: tmp_path)
    gone = "http://127.0.0.1:9/gone.bin"
    got = locate.download("made", "corpus.bin", CHECKSUM, gone, server.url)
    assert got.read_bytes() == CONTENT
    assert (tmp_path / "corpus.bin.sha256").read_text().strip() == CHECKSUM
    assert locate.download("made", "corpus.bin", CHECKSUM, gone) == got
    with pytest.raises(CorpusError, match=r"the download failed \(http://127.0.0.1:9/gone.bin: .*ConnectionError"):
        locate.download("made", "other.bin", CHECKSUM, gone)


def test_without_a_published_checksum_the_first_downloads_is_recorded(server, tmp_path, monkeypatch):
    """It is then the one that holds: a file that changed on disk is brought again, or refused where it is read."""
    monkeypatch.setattr(locate, "cache_folder", lambda: tmp_path)
    got = locate.download("made", "corpus.bin", None, server.url)
    assert locate.recorded(got) == CHECKSUM
    locate.verify("made", got)
    assert locate.download("made", "corpus.bin", None, "http://127.0.0.1:9/gone") == got
    got.write_bytes(b"changed")
    with pytest.raises(CorpusError, match=rf"has the sha256 \w+; expected {CHECKSUM}. Delete it, and start again"):
        locate.verify("made", got)
    assert (
        locate.download("made", "corpus.bin", None, "http://127.0.0.1:9/gone", lazily=True).read_bytes() == b"changed"
    )
    assert locate.download("made", "corpus.bin", None, server.url).read_bytes() == CONTENT


def test_each_corpus_has_its_own_bound(tmp_path):
    """A file beyond the common bound is read by a task that allows for it, and beyond its own by none."""
    (tmp_path / "x").write_bytes(bytes(2000))
    assert len(locate.read("made", tmp_path / "x", max_bytes=2000)) == 2000
    for read in (
        lambda: locate.read("made", tmp_path / "x", max_bytes=1999),
        lambda: locate.checksum("made", tmp_path / "x", 1999),
    ):
        with pytest.raises(CorpusError, match=r"task 'made': .*x is larger than 1999 bytes; it is not the corpus"):
            read()
    assert locate.checksum("made", tmp_path / "x", 2000) == hashlib.sha256(bytes(2000)).hexdigest()


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch, capsys):
    """On a terminal the chunks pass through a bar on standard error; elsewhere nothing is printed."""
    assert list(transfer.tracked("http://a/b", [b"12"], 0, 2)) == [b"12"]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(transfer.tracked("http://a/b", [b"12"], 0, 2)) == [b"12"]
    assert "b" in capsys.readouterr().err
