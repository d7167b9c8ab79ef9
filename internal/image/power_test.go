package image

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

var long = flag.Bool("long", false, "cut the power at every step, on XFS too")

// The power goes at any change to the disk, with what was not flushed lost: the store
// opens, has every image whole that it lists, and lists what it had said was there.
//
// The disk is a file under a file system of its own. Copied while the victim is stopped, it
// is what a machine finds after a power cut: of what the file system has not written yet,
// the copy knows nothing. Once it is that kind, and once one where a flush of something
// else has just brought the names of all files to the disk, but not their content.
func TestPowerCut(t *testing.T) {
	for _, kind := range []struct {
		name string
		disk testenv.Disk
	}{
		{"ext4", testenv.Ext4Disk(24 << 20)},
		{"xfs", testenv.XFSDisk(300 << 20)},
	} {
		for _, names := range []string{"nothing flushed", "names flushed"} {
			t.Run(kind.name+", "+names, func(t *testing.T) {
				if kind.name == "xfs" && !*long {
					t.Skip("with -long")
				}
				p := power{T: t, flush: names == "names flushed", every: 11}
				if *long {
					p.every = 1
				}
				p.disk, p.dir = kind.disk.Mount(t, "noatime")
				if kind.name == "ext4" { // no commit of the journal while it is copied
					if err := unix.Mount("", p.dir, "", unix.MS_REMOUNT|unix.MS_NOATIME, "commit=900"); err != nil {
						t.Fatal(err)
					}
				}
				if ended := runVictim(t, filepath.Join(p.dir, "images"), p.step); !ended || p.cuts < 5 || p.whole == 0 {
					t.Errorf("ended: %v; %d cuts, %d images found whole: this tested nothing", ended, p.cuts, p.whole)
				}
				t.Logf("%d cuts, %d images found whole", p.cuts, p.whole)
			})
		}
	}
}

// power is a machine that loses it again and again.
type power struct {
	*testing.T
	disk, dir string
	flush     bool // what is named, not what is in it
	every     int

	cuts, whole int
	// said are the images of the index at the last step, which was flushed since.
	said map[string]record
}

// step cuts the power before a change to the disk.
func (p *power) step(n int) (kill bool) {
	now := p.index(p.dir)
	sure := maps.Clone(p.said)
	maps.DeleteFunc(sure, func(id string, _ record) bool { _, still := now[id]; return !still })
	p.said = now
	if n%p.every != 0 || p.Failed() {
		return p.Failed()
	}
	if p.flush {
		p.witness()
	}
	p.cuts++
	p.cut(n, sure)
	return false
}

func (p *power) index(dir string) map[string]record {
	x, err := readIndex(filepath.Join(dir, "images", "index.json"))
	if err != nil {
		p.Errorf("the index as it is: %v", err)
	}
	return x.Images
}

// witness flushes a file that has nothing to do with the store: the journal is one.
func (p *power) witness() {
	f, err := os.Create(filepath.Join(p.dir, "witness"))
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		p.Fatal(err)
	}
}

// cut looks at a copy of the disk.
func (p *power) cut(n int, sure map[string]record) {
	p.Run(fmt.Sprint(n), func(t *testing.T) {
		base := t.TempDir()
		disk := filepath.Join(base, "disk")
		copySparse(t, p.disk, disk)
		dir := filepath.Join(base, "mounted")
		testenv.MountImage(t, disk, dir, "noatime,"+map[bool]string{true: "nouuid", false: "rw"}[isXFS(p.dir)])
		s, err := Open(filepath.Join(dir, "images"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Sweep(t.Context(), func(string) bool { return false }); err != nil {
			t.Error(err)
		}
		checkStore(t, s)
		for _, img := range s.List() {
			layerTars(t, s, img.ID) // compares them with their digests
			p.whole++
			delete(sure, img.ID)
		}
		for id, r := range sure {
			t.Errorf("image %s of %d layers was there, and is lost", id, len(r.Layers))
		}
	})
}

func isXFS(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.XFS_SUPER_MAGIC
}

// copySparse copies what a file has, and leaves its holes.
func copySparse(t *testing.T, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	info, err := src.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := dst.Truncate(info.Size()); err != nil {
		t.Fatal(err)
	}
	for end := int64(0); ; {
		at, err := src.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return
		}
		if err == nil {
			end, err = src.Seek(at, unix.SEEK_HOLE)
		}
		if err == nil {
			_, err = io.Copy(io.NewOffsetWriter(dst, at), io.NewSectionReader(src, at, end-at))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
