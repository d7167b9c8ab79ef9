package image

import (
	"bytes"
	"encoding/base64"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
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

func TestImportsXzAndBzip2(t *testing.T) {
	for name, text := range map[string]string{"xz": xzTar, "bzip2": bzTar} {
		s := openStore(t)
		img, err := s.ImportTar(t.Context(), name, bytes.NewReader(decoded(t, text)), v1.ImageConfig{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := tree(t, img.Layers[0])["f"]; got != "-rw-r--r-- packed" {
			t.Errorf("%s: f is %q", name, got)
		}
	}
}
