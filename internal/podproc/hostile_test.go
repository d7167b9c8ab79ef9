package podproc_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/podproc/wire"
)

// TestHostilePackets sends what no daemon would, with files: the supervisor
// answers or hangs up, and keeps no descriptor.
func TestHostilePackets(t *testing.T) {
	p := newPod(t)
	p.must(wire.Packet{Op: wire.Hello})
	before := p.fds()
	rnd := rand.New(rand.NewPCG(1, 2))
	img, err := sh("exit 0").Memfd()
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	r, w := pipe(t)
	junk := tempFile(t)
	junk.WriteString(strings.Repeat("junk", 1000))
	pool := []*os.File{img, r, w, junk}
	send := func(size int, q wire.Packet, n int) {
		var b [wire.Size]byte
		q.Encode(&b)
		raw := append(b[:], make([]byte, 1000)...)[:size]
		var files []*os.File
		for range n {
			f := pool[rnd.IntN(len(pool))]
			if q.Op == wire.Setup && f == img {
				f = junk // it would be executed, in place of the supervisor
			}
			files = append(files, f)
		}
		if _, _, err := p.conn.WriteMsgUnix(raw, rights(files), nil); err != nil {
			p.peer = p.connect()
		}
	}
	for range 2000 {
		q := wire.Packet{
			Op: wire.Op(rnd.IntN(14)), Seq: 1 << 31, Handle: uint64(rnd.IntN(3)),
			A: uint64(rnd.IntN(1 << 12)), B: uint64(rnd.IntN(3)),
		}
		if q.Op == wire.Quit {
			continue
		}
		if rnd.IntN(2) == 0 {
			q.A = rnd.Uint64()
		}
		size := wire.Size
		if rnd.IntN(10) == 0 {
			size = 1 + rnd.IntN(200)
		}
		send(size, q, rnd.IntN(8))
	}
	send(wire.Size, wire.Packet{Op: wire.Spawn, Handle: 9}, wire.MaxFiles)
	send(wire.Size, wire.Packet{Op: 77}, wire.MaxFiles)
	p.peer = p.connect()
	for h := range p.list() {
		p.call(wire.Packet{Op: wire.Signal, Handle: h, A: uint64(unix.SIGKILL)})
	}
	eventually(t, "all processes are forgotten", func() bool {
		l := p.list()
		for h := range l {
			p.call(wire.Packet{Op: wire.Forget, Handle: h})
		}
		return len(l) == 0
	})
	eventually(t, "no descriptor is left", func() bool { return p.fds() == before })
	eventually(t, "no children", func() bool { return p.children() == "" })
}

// TestDaemonThatDoesNotRead fills the socket with answers; none is lost.
func TestDaemonThatDoesNotRead(t *testing.T) {
	p := newPod(t)
	h, _ := p.start(job{prog: sh("exit 0")})
	p.exit(h)
	const n = 2000
	chans := make([]<-chan wire.Packet, n)
	p.mu.Lock() // stops the receiver after the next packet
	p.mu.Unlock()
	for i := range n {
		chans[i] = p.post(wire.Packet{Op: wire.List})
	}
	for _, ch := range chans {
		if a, b := p.wait(ch), p.wait(ch); a.Handle != h || b.Handle != 0 {
			t.Fatalf("got %+v, %+v", a, b)
		}
	}
}

// TestDependencies keeps the supervisor's memory: what it links is in every pod.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-tags", "carob_pod", "-deps", "carob/cmd/carob-pod").Output()
	if err != nil {
		t.Fatal(err)
	}
	banned := map[string]bool{"fmt": true, "os": true, "net": true, "encoding/json": true, "os/exec": true, "os/signal": true, "context": true, "log": true}
	own := map[string]bool{
		"carob/cmd/carob-pod": true, "carob/internal/podproc": true, "carob/internal/podproc/wire": true,
		"carob/internal/sys/loop": true, "carob/internal/sys/spawn": true, "carob/internal/fault": true,
	}
	for _, d := range strings.Fields(string(out)) {
		first, _, _ := strings.Cut(d, "/")
		switch {
		case banned[d]:
			t.Errorf("%s is linked", d)
		case first == "carob" && !own[d], strings.Contains(first, ".") && !strings.HasPrefix(d, "golang.org/x/sys/"):
			t.Errorf("%s is linked", d)
		}
	}
}
