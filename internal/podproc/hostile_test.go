package podproc_test

import (
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/podproc/wire"
	"carob/internal/sys/fd"
	"carob/internal/testenv"
)

// TestHostilePackets sends what no daemon would, with files: the supervisor
// answers or hangs up, and keeps no descriptor.
func TestHostilePackets(t *testing.T) {
	p := newPod(t)
	p.must(wire.Packet{Op: wire.Hello})
	before := p.fds()
	rnd := rand.New(rand.NewPCG(1, 2))
	img, err := fd.Memory(sh("exit 0"))
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
			p.call(wire.Packet{Op: wire.End, Handle: h}) // what a helper has made
			p.call(wire.Packet{Op: wire.Forget, Handle: h})
		}
		return len(l) == 0
	})
	eventually(t, "no descriptor is left", func() bool { return p.fds() == before })
	eventually(t, "no children", func() bool { return p.children() == "" })
}

// TestDaemonThatDoesNotRead asks without reading: the supervisor goes on and no
// answer is lost.
func TestDaemonThatDoesNotRead(t *testing.T) {
	p := newPod(t)
	for range 20 {
		h, _ := p.start(job{prog: sh("exit 0")})
		p.exit(h)
	}
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: p.socket, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const n = 500
	go func() { // it has to wait too, when the supervisor does not read any more
		var b [wire.Size]byte
		for i := range n {
			(&wire.Packet{Op: wire.List, Seq: uint32(i)}).Encode(&b)
			conn.Write(b[:])
		}
	}()
	time.Sleep(50 * time.Millisecond)
	conn.SetReadDeadline(time.Now().Add(testenv.Patience(10 * time.Second)))
	for i := range n * 21 {
		var b [wire.Size]byte
		if _, err := conn.Read(b[:]); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		var q wire.Packet
		if q.Decode(&b); int(q.Seq) != i/21 || (q.Handle == 0) != (i%21 == 20) {
			t.Fatalf("answer %d is %+v", i, q)
		}
	}
}

// TestDependencies keeps the supervisor's memory: what it links is in every pod.
func TestDependencies(t *testing.T) {
	testenv.Require(t, testenv.Toolchain)
	out, err := exec.Command("go", "list", "-deps", "carob/cmd/carob-pod").Output()
	if err != nil {
		t.Fatal(err)
	}
	banned := map[string]bool{"fmt": true, "net": true, "encoding/json": true, "os/exec": true, "os/signal": true, "context": true, "log": true}
	own := map[string]bool{
		"carob/cmd/carob-pod": true, "carob/internal/podproc": true, "carob/internal/podproc/wire": true,
		"carob/internal/sys/loop": true, "carob/internal/sys/spawn": true, "carob/internal/sys/reaper": true, "carob/internal/fault": true,
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
