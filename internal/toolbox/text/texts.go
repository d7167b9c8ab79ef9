// Package text is the toolbox's tools that read lines and bytes. They stream where
// their work allows it, and go on after a file that cannot be read.
package text

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strconv"

	"carob/internal/toolbox/tool"
)

// Tools lists the package's tools.
func Tools() []tool.Tool {
	return []tool.Tool{
		{Name: "base64", Usage: "[-d] [-w COLUMNS] [FILE]", Does: "encode or decode base64", Run: base64Tool},
		{Name: "cut", Usage: "-f LIST [-d DELIMITER] [-s] | -c LIST [FILE]...", Does: "print parts of lines", Run: cut},
		{Name: "grep", Usage: "[-ivncqEFolLrwxHhs] [-A N] [-B N] [-C N] [-m N] [-e] PATTERN [FILE]...", Does: "print lines that match", Misused: codeTrouble, Run: grep},
		{Name: "head", Usage: "[-n LINES] [-c BYTES] [-qv] [FILE]...", Does: "print the begin of files", Run: head},
		{Name: "md5sum", Usage: "[-c] [FILE]...", Does: "print or check MD5 sums", Run: sumTool(md5Sum)},
		{Name: "sed", Usage: "[-nEi] [-e] SCRIPT [-f FILE] [FILE]...", Does: "edit lines: s/// d p q a i c y = n N D P h H g G x b t {}", Run: sed},
		{Name: "seq", Usage: "[-w] [-s TEXT] [FIRST [STEP]] LAST", Does: "print numbers", Run: seq},
		{Name: "sha1sum", Usage: "[-c] [FILE]...", Does: "print or check SHA-1 sums", Run: sumTool(sha1Sum)},
		{Name: "sha256sum", Usage: "[-c] [FILE]...", Does: "print or check SHA-256 sums", Run: sumTool(sha256Sum)},
		{Name: "sort", Usage: "[-nrufhbs] [-k FROM[,TO]] [-t SEPARATOR] [-o FILE] [FILE]...", Does: "sort lines", Misused: 2, Run: sortLines},
		{Name: "tail", Usage: "[-n [+]LINES] [-c BYTES] [-fqv] [FILE]...", Does: "print the end of files, with -f what is added to them", Run: tail},
		{Name: "tee", Usage: "[-ai] [FILE]...", Does: "copy standard input to files and to standard output", Run: tee},
		{Name: "tr", Usage: "[-cds] SET1 [SET2]", Does: "translate or delete characters", Run: tr},
		{Name: "uniq", Usage: "[-cdui] [FILE]", Does: "join equal lines that follow each other", Run: uniq},
		{Name: "wc", Usage: "[-lwcm] [FILE]...", Does: "count lines, words and bytes", Run: wc},
		{Name: "yes", Usage: "[TEXT]...", Does: "print a line for ever", Run: yes},
	}
}

// maxLine bounds a line that a tool must hold whole.
const maxLine = 64 << 20

// lines calls do for every line, without its end.
func lines(r io.Reader, do func(line string) error) error {
	s := bufio.NewScanner(r)
	s.Split(lineWithoutEnd)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		if err := do(s.Text()); err != nil {
			return err
		}
	}
	return s.Err()
}

// lineWithoutEnd is bufio.ScanLines without its dropping of carriage returns.
func lineWithoutEnd(data []byte, atEnd bool) (advance int, token []byte, err error) {
	for i, b := range data {
		if b == '\n' {
			return i + 1, data[:i], nil
		}
	}
	if atEnd && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func number(text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, tool.Invalid("invalid number '%s'", text)
	}
	return n, nil
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// cannotOpen are the words of head and tail.
const cannotOpen = "cannot open '%s' for reading: %s"

// create opens a tool's output file.
func create(name string, more int) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|more, 0o666)
}
