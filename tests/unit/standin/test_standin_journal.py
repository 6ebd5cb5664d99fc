# SPDX-License-Identifier: Apache-2.0
"""The journal's records and how it is followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from neard_standin.journal import Event, JournalReader, JournalWriter, Record, read_journal
from neard_standin.ledger import Kind
from neard_standin.procfs import ProcessId


def _record(height: int) -> Record:
    return Record(Event.SIGNATURE, 1.5, 10, 20, "/h", "n", "a", "k", height, Kind.CHUNK, 3, (ProcessId(1, 2),))


def test_record_survives_its_line() -> None:
    assert Record.from_line(_record(4).to_line()) == _record(4)
    bare = Record(Event.START, 1.0, 1, 2, "/h", "n")
    assert Record.from_line(bare.to_line()) == bare
    assert b"height" not in bare.to_line()


@pytest.mark.parametrize("line", [b"", b"{}", b'{"event":"dance"}', b'{"event":"start","extra":1}'])
def test_foreign_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a journal record"):
        Record.from_line(line)


def test_reader_follows_and_waits_for_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    reader = JournalReader(path)
    assert reader.read_new() == []
    writer.append(_record(1))
    line = _record(2).to_line()
    with path.open("ab") as file:
        file.write(line[:30])
        file.flush()
        assert [record.height for record in reader.read_new()] == [1]
        assert reader.read_new() == []
        file.write(line[30:])
    assert [record.height for record in reader.read_new()] == [2]
    reader.close()
    writer.close()


def test_reader_with_a_window_starts_at_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    for height in range(10):
        writer.append(_record(height))
    writer.close()
    length = len(_record(1).to_line())
    reader = JournalReader(path, window=2 * length + length // 2)
    assert [record.height for record in reader.read_new()] == [8, 9]
    assert len(read_journal(path)) == 10
