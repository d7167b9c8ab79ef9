package unpack

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"testing"
)

// A tar with the file f, "packed", as xz -9, xz --lzma2=dict=256MiB and bzip2 packed it.
const (
	xzTar  = "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4Af/AENdADMAM1AYaImDAdzibkdnUCbaMYkclpBPWVwqyA2vshrqXeB6UvwBMMS0jKw38DCvh+fWORlRzjVA0WWTx7camamKpgAAAM7yOWSYBs9WAAFfgBAAAADyiXLfscRn+wIAAAAABFla"
	xzWide = "/Td6WFoAAATm1rRGAgAhASAAAAAJiKV24Af/AENdADMAM1AYaImDAdzibkdnUCbaMYkclpBPWVwqyA2vshrqXeB6UvwBMMS0jKw38DCvh+fWORlRzjVA0WWTx7camamKpgAAAM7yOWSYBs9WAAFfgBAAAADyiXLfscRn+wIAAAAABFla"
	bzTar  = "QlpoOTFBWSZTWfqJip4AAC97hMmAAEBAAGWAAADvCN4AAACACCAAVEQNJgEwNGgyakaeo00aBiFuXXHxGJBEtXE5ZxE2JQDKyUCTSBCi7bNhQVAVca3bdQID+gRiBmKEeF3JFOFCQ+omKng="
)

func decoded(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Decoders read what strangers wrote: none may panic or go on for ever.
func FuzzDecompress(f *testing.F) {
	for _, text := range []string{xzTar, xzWide, bzTar} {
		f.Add(decoded(f, text))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		source := NewMeter(context.Background(), bytes.NewReader(in), 1<<20)
		plain, err := Decompress(source)
		if err != nil {
			return
		}
		defer plain.Close()
		_, _ = io.Copy(io.Discard, NewMeter(context.Background(), plain, 8<<20))
	})
}
