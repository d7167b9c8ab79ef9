package api

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// TestPartOfAFrame: a peer that goes away is told from one that is slow.
func TestPartOfAFrame(t *testing.T) {
	for _, c := range []struct {
		sent       string
		then, want error
	}{
		{"", io.EOF, io.ErrUnexpectedEOF},
		{"ab", io.EOF, io.ErrUnexpectedEOF},
		{"ab", os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
	} {
		if _, err := readBody(io.MultiReader(strings.NewReader(c.sent), iotest.ErrReader(c.then)), 4, maxRequest); !errors.Is(err, c.want) {
			t.Errorf("%q, then %v: %v, want %v", c.sent, c.then, err, c.want)
		}
	}
}

func frame(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

func FuzzReadReply(f *testing.F) {
	f.Add(frame(`{"result":{}}`))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Add(frame(`{"error":{"kind":"invalid","text":"x","code":127}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ReadReply(bytes.NewReader(b))
		if err == nil && p.Error != nil {
			_ = p.Error.Fault().Error()
		}
	})
}

// FuzzRequest holds what decodes a request against any JSON.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"method":"stop","params":{"ref":"x"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := readBody(bytes.NewReader(b), uint32(len(b)), maxRequest)
		if err != nil {
			t.Fatal(err)
		}
		var r Request
		if Decode(body, &r) == nil {
			_, _ = assign(r.Files, nil)
			var p RunParams
			_ = Decode(r.Params, &p)
		}
	})
}
