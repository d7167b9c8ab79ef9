package retar

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"carob/internal/fault"
)

// record makes a record of alternating bytes and files.
func record(t testing.TB, write func(r *Recorder)) []byte {
	t.Helper()
	var b bytes.Buffer
	r, err := NewRecorder(&b)
	if err != nil {
		t.Fatal(err)
	}
	write(r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsWrittenComesBack(t *testing.T) {
	dir := t.TempDir()
	want := bytes.Repeat([]byte("header"), 30_000)
	content := bytes.Repeat([]byte("content"), 20_000)
	if err := os.WriteFile(filepath.Join(dir, "f"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	rec := record(t, func(r *Recorder) {
		_, _ = r.Write(want)
		if err := r.File("f", int64(len(content))); err != nil {
			t.Fatal(err)
		}
		for p := content; len(p) > 0; p = p[min(len(p), 999):] { // in pieces, and the last one with what follows
			_, _ = r.Write(p[:min(len(p), 999)])
		}
		_, _ = r.Write([]byte("end"))
	})
	want = append(append(want, content...), "end"...)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var got bytes.Buffer
	if err := Write(t.Context(), &got, bytes.NewReader(rec), root); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes of %d, %v", got.Len(), len(want), err)
	}
	if n, err := Size(bytes.NewReader(rec)); n != int64(len(want)) || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
	if len(rec) > 2000 {
		t.Errorf("the record takes %d bytes", len(rec))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(ctx, io.Discard, bytes.NewReader(rec), root); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for n := range len(rec) {
		if _, err := Size(bytes.NewReader(rec[:n])); err == nil {
			t.Fatalf("cut to %d of %d bytes it is accepted", n, len(rec))
		}
	}
}

func TestRecorderRefusesNonsense(t *testing.T) {
	r, err := NewRecorder(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []error{r.File("", 1), r.File("f", -1), r.File(string(make([]byte, maxName+1)), 1)} {
		if !fault.Is(bad, fault.Internal) {
			t.Errorf("got %v", bad)
		}
	}
	if err := r.File("f", 10); err != nil {
		t.Fatal(err)
	}
	if err := r.File("g", 10); err == nil {
		t.Error("a file within a file")
	}
	if err := r.Close(); err == nil {
		t.Error("it ended within a file")
	}
}

func FuzzWrite(f *testing.F) {
	f.Add(record(f, func(r *Recorder) { _, _ = r.Write([]byte("x")); _ = r.File("a", 1); _, _ = r.Write([]byte("yz")) }))
	f.Fuzz(func(t *testing.T, rec []byte) {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := Write(t.Context(), io.Discard, bytes.NewReader(rec), root); err == nil {
			if _, err := Size(bytes.NewReader(rec)); err != nil {
				t.Errorf("written, but without a size: %v", err)
			}
		}
	})
}
