package text

import (
	"bufio"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"

	"carob/internal/toolbox/tool"
)

func md5Sum() hash.Hash    { return md5.New() }
func sha1Sum() hash.Hash   { return sha1.New() }
func sha256Sum() hash.Hash { return sha256.New() }

func sumTool(make func() hash.Hash) tool.Func {
	return func(c *tool.Call) (int, error) {
		o, files, err := c.Parse("cb", "check=c")
		if err != nil {
			return 0, err
		}
		if o.Has('c') {
			return checkSums(c, make, files)
		}
		return 0, c.EachFile(files, func(name string, r io.Reader) error {
			sum, err := sumOf(make(), r)
			if err != nil {
				return fmt.Errorf("%s: %s", name, tool.Why(err))
			}
			_, err = fmt.Fprintf(c.Out, "%s  %s\n", sum, name)
			return err
		})
	}
}

func sumOf(h hash.Hash, r io.Reader) (string, error) {
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

func checkSums(c *tool.Call, make func() hash.Hash, files []string) (int, error) {
	wrong := 0
	err := c.EachFile(files, func(list string, r io.Reader) error {
		return lines(r, func(line string) error {
			want, name, ok := strings.Cut(line, " ")
			if !ok || len(name) < 2 {
				return fmt.Errorf("%s: no properly formatted checksum lines found", list)
			}
			name = name[1:] // a blank, or the star of a binary file
			verdict := "FAILED"
			f, err := os.Open(name)
			if err == nil {
				var sum string
				sum, err = sumOf(make(), f)
				f.Close()
				if err == nil && strings.EqualFold(sum, want) {
					verdict = "OK"
				}
			}
			if verdict != "OK" {
				wrong++
			}
			fmt.Fprintf(c.Out, "%s: %s\n", tool.Printable(name), verdict)
			return err
		})
	})
	if wrong > 0 {
		noun := "checksums"
		if wrong == 1 {
			noun = "checksum"
		}
		err = errors.Join(err, fmt.Errorf("WARNING: %d computed %s did NOT match", wrong, noun))
	}
	return 0, err
}

func base64Tool(c *tool.Call) (int, error) {
	o, files, err := c.Operands(0, 1, "dDw:", "decode=d", "wrap=w")
	if err != nil {
		return 0, err
	}
	width, err := number(o['w'], 76)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriter(c.Out)
	err = c.EachFile(files, func(_ string, r io.Reader) error {
		if o.Has('d') || o.Has('D') {
			_, err := io.Copy(io.MultiWriter(out), base64.NewDecoder(base64.StdEncoding, r)) // it passes over line ends
			var corrupt base64.CorruptInputError
			if errors.As(err, &corrupt) || errors.Is(err, io.ErrUnexpectedEOF) {
				return errors.New("invalid input")
			}
			return err
		}
		w := &wrapped{out: out, width: width}
		enc := base64.NewEncoder(base64.StdEncoding, w)
		_, err := io.Copy(enc, r)
		return errors.Join(err, enc.Close(), w.end())
	})
	return 0, errors.Join(err, out.Flush())
}

// wrapped breaks what is written into lines; a width of 0 does not.
type wrapped struct {
	out       *bufio.Writer
	width, at int
	any       bool
}

func (w *wrapped) Write(p []byte) (int, error) {
	for _, b := range p {
		if w.width > 0 && w.at == w.width {
			w.out.WriteByte('\n')
			w.at = 0
		}
		if err := w.out.WriteByte(b); err != nil {
			return 0, err
		}
		w.at++
		w.any = true
	}
	return len(p), nil
}

func (w *wrapped) end() error {
	if !w.any || w.width == 0 {
		return nil
	}
	return w.out.WriteByte('\n')
}
