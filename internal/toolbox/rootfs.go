package toolbox

import (
	"archive/tar"
	"io"
	"os"
	"slices"
	"time"

	"carob/internal/toolbox/tool"
)

// writeRootfs writes the tar of an image's root filesystem that holds this binary
// under all its names, but for true and false: see tinyExit. The same binary gives the same bytes.
func writeRootfs(c *tool.Call) (int, error) {
	w := tar.NewWriter(c.Out)
	for _, d := range []struct {
		name string
		mode int64
	}{
		{"./", 0o755}, {"bin/", 0o755}, {"dev/", 0o755}, {"etc/", 0o755}, {"home/", 0o755}, {"proc/", 0o555}, {"root/", 0o700}, {"run/", 0o755},
		{"sys/", 0o555}, {"tmp/", 0o1777}, {"usr/", 0o755}, {"usr/bin/", 0o755}, {"usr/local/", 0o755}, {"usr/local/bin/", 0o755}, {"var/", 0o755}, {"var/tmp/", 0o1777},
	} {
		if err := put(w, tar.Header{Name: d.name, Typeflag: tar.TypeDir, Mode: d.mode}, ""); err != nil {
			return 0, err
		}
	}
	home := tar.Header{Name: "home/app/", Typeflag: tar.TypeDir, Mode: 0o755, Uid: 1000, Gid: 1000}
	if err := put(w, home, ""); err != nil {
		return 0, err
	}
	if err := putSelf(w); err != nil {
		return 0, err
	}
	for _, f := range []struct{ name, text string }{
		{"etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\napp:x:1000:1000:app:/home/app:/bin/sh\n"},
		{"etc/group", "root:x:0:\nnogroup:x:65534:\napp:x:1000:\n"},
		{"etc/os-release", "ID=carob-toolbox\nNAME=\"carob toolbox\"\nPRETTY_NAME=\"carob toolbox\"\n"},
	} {
		if err := put(w, tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644}, f.text); err != nil {
			return 0, err
		}
	}
	tiny := map[string][]byte{"true": tinyExit(0), "false": tinyExit(1)}
	for _, n := range links() {
		if tiny[n] != nil {
			if err := put(w, tar.Header{Name: "bin/" + n, Typeflag: tar.TypeReg, Mode: 0o755}, string(tiny[n])); err != nil {
				return 0, err
			}
			continue
		}
		if err := put(w, tar.Header{Name: "bin/" + n, Typeflag: tar.TypeSymlink, Linkname: "carob-toolbox", Mode: 0o777}, ""); err != nil {
			return 0, err
		}
	}
	return 0, w.Close()
}

// links are the names in /bin that lead to the binary.
func links() []string {
	names := []string{"toolbox"}
	for _, t := range tools() {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}

func put(w *tar.Writer, h tar.Header, text string) error {
	h.Size, h.ModTime = int64(len(text)), time.Unix(0, 0)
	if err := w.WriteHeader(&h); err != nil {
		return err
	}
	_, err := io.WriteString(w, text)
	return err
}

func putSelf(w *tar.Writer) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	fi, err := self.Stat()
	if err != nil {
		return err
	}
	h := tar.Header{Name: "bin/carob-toolbox", Typeflag: tar.TypeReg, Mode: 0o755, Size: fi.Size(), ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(&h); err != nil {
		return err
	}
	_, err = io.Copy(w, self)
	return err
}
