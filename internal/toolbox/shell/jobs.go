package shell

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"carob/internal/toolbox/early"
	"carob/internal/toolbox/tool"
)

// The interpreter's background commands are goroutines, which it names g1, g2, … in $!.
// So that kill finds the processes in them, every "command &" is made into
//
//	{ newJob; { inJob; command; } & namedJob "$!"; }
//
// newJob numbers it in a variable, which the goroutine inherits with all others; inJob
// keeps the number in one that only the job has, and namedJob under the job's name. No
// command can have such names.
const (
	newJobCall   = "\x00job"
	inJobCall    = "\x00in"
	namedJobCall = "\x00named"

	newestVariable = "_job"
	ownVariable    = "_in_job"
)

// jobs are the commands in the background, by their number.
type jobs struct {
	mu   sync.Mutex
	list []*job
}

// job is one of them. Its processes come and go when it is more than one command.
type job struct {
	pids   map[int]bool
	began  chan struct{} // closed when the first process runs, or when it is known that none will
	killed bool
}

// numberJobs makes every background command below n a job.
func numberJobs(n syntax.Node) {
	var found []*syntax.Stmt
	syntax.Walk(n, func(n syntax.Node) bool {
		if s, ok := n.(*syntax.Stmt); ok && s.Background {
			found = append(found, s)
		}
		return true
	})
	last := &syntax.ParamExp{Short: true, Param: &syntax.Lit{Value: "!"}}
	for _, s := range found {
		command := *s
		command.Background = false
		job := &syntax.Stmt{Background: true, Cmd: &syntax.Block{Stmts: []*syntax.Stmt{calling(inJobCall), &command}}}
		*s = syntax.Stmt{Position: s.Position, Cmd: &syntax.Block{Stmts: []*syntax.Stmt{
			calling(newJobCall), job, calling(namedJobCall, last),
		}}}
	}
}

func calling(name string, args ...syntax.WordPart) *syntax.Stmt {
	words := []*syntax.Word{{Parts: []syntax.WordPart{&syntax.Lit{Value: name}}}}
	for _, a := range args {
		words = append(words, &syntax.Word{Parts: []syntax.WordPart{a}})
	}
	return &syntax.Stmt{Cmd: &syntax.CallExpr{Args: words}}
}

// start numbers a job and returns what sets the variable, with $? as it was.
func (j *jobs) start(status int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, &job{pids: map[int]bool{}, began: make(chan struct{})})
	return fmt.Sprintf("%s=%d; (exit %d)", newestVariable, len(j.list), status)
}

// assignment is what the calls that make jobs set, "" for any other call.
func (j *jobs) assignment(hc interp.HandlerContext, args []string) string {
	switch args[0] {
	case newJobCall:
		return j.start(hc.LastExitStatus)
	case inJobCall:
		return ownVariable + "=$" + newestVariable
	case namedJobCall:
		return newestVariable + "_" + args[1] + "=$" + newestVariable
	}
	return ""
}

// of is the job whose number is in a variable, nil where there is none.
func (j *jobs) of(hc interp.HandlerContext, variable string) *job {
	n, err := strconv.Atoi(hc.Env.Get(variable).String())
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil || n < 1 || n > len(j.list) {
		return nil
	}
	return j.list[n-1]
}

// began notes a process, 0 for a command that needs none.
func (j *jobs) began(b *job, pid int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if pid > 0 {
		b.pids[pid] = true
	}
	select {
	case <-b.began:
	default:
		close(b.began)
	}
}

func (j *jobs) ended(b *job, pid int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(b.pids, pid)
}

func (j *jobs) wasKilled(b *job) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return b.killed
}

// endsAll reports whether a job that is sent kill's signal runs nothing more.
func endsAll(args []string) bool {
	name := "TERM"
	switch {
	case len(args) > 2 && args[1] == "-s":
		name = args[2]
	case len(args) > 1 && strings.HasPrefix(args[1], "-"):
		name = args[1][1:]
	}
	n, ok := tool.Signal(name)
	return ok && (n == syscall.SIGKILL || slices.Contains(early.Enders(), n))
}

// aim replaces the names of jobs among kill's arguments by their processes. A job that
// has just been started may not have one yet. A job of several commands runs no more of
// them after a signal that ends.
func (j *jobs) aim(hc interp.HandlerContext, args []string) []string {
	var aimed []string
	ends := endsAll(args)
	for _, a := range args {
		b := j.of(hc, newestVariable+"_"+a)
		if b == nil || !strings.HasPrefix(a, "g") {
			aimed = append(aimed, a)
			continue
		}
		select {
		case <-b.began:
		case <-time.After(time.Second): // it waits for something else
		}
		j.mu.Lock()
		b.killed = b.killed || ends
		for pid := range b.pids {
			aimed = append(aimed, strconv.Itoa(pid))
		}
		j.mu.Unlock()
	}
	return aimed
}
