package e2e

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"carob/internal/testenv"
)

// TestStorageSize bounds what a container may write, where the file system can.
func TestStorageSize(t *testing.T) {
	for _, kind := range []struct {
		need testenv.Need
		disk testenv.Disk
	}{
		{testenv.Ext4Quota, testenv.Ext4Disk(256<<20, testenv.Projects)},
		{testenv.XFSQuota, testenv.XFSDisk(320 << 20)},
	} {
		t.Run(string(kind.need), func(t *testing.T) {
			testenv.Require(t, kind.need)
			_, dir := kind.disk.Mount(t, "prjquota")
			h := startOwn(t)
			h.env = append(h.env, "CAROB_ROOT="+filepath.Join(dir, "lib"))
			for _, users := range []string{"", "host"} { // an id-mapped layer, and one that is not
				bounded := h.background("bounded", "--userns", users, "--storage-opt", "size=8m", image, "sleep", "1000")
				free := h.background("free", "--userns", users, image, "sleep", "1000")
				h.kill()
				fill := []string{"dd", "if=/dev/zero", "of=/tmp/file", "bs=64k", "count=320"}
				if r := h.run(append([]string{"exec", bounded}, fill...)...); r.code == 0 || !strings.Contains(r.err, "quota exceeded") && !strings.Contains(r.err, "No space left") {
					t.Errorf("20 MiB written where 8 may be: %d %s", r.code, r.err)
				}
				h.ok(append([]string{"exec", free}, fill...)...)
				size := strings.Fields(h.ok("exec", bounded, "df", "-k", "/"))
				if kib, err := strconv.Atoi(size[len(size)-5]); err != nil || kib != 8<<10 {
					t.Errorf("df says %v", size)
				}
				h.ok("exec", bounded, "rm", "/tmp/file")
				h.ok("exec", bounded, "dd", "if=/dev/zero", "of=/tmp/file", "bs=64k", "count=64")
				h.ok("rm", "-f", bounded, free)
			}
			name := h.name("small")
			h.code(125, "run", "--name", name, "--storage-opt", "size=512", image, "true")
			if r := h.code(1, "inspect", name); r.out != "" && strings.Contains(r.out, name) {
				t.Errorf("a refused container is there: %s", r.out)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		_, dir := testenv.Ext4Disk(64<<20).Mount(t, "rw")
		h := startOwn(t)
		h.env = append(h.env, "CAROB_ROOT="+filepath.Join(dir, "lib"))
		r := h.code(125, "run", "--rm", "--storage-opt", "size=8m", image, "true")
		if !strings.Contains(r.err, "ext4 has no project quotas in force; mount it with prjquota") {
			t.Errorf("refused with %s", r.err)
		}
		h.ok("run", "--rm", image, "true")
	})
}
