package ask

import (
	"strings"
	"time"

	"github.com/spf13/pflag"

	"carob/internal/fault"
	"carob/internal/spec"
)

// Exec are the flags of exec.
type Exec struct {
	Detach, stdin, tty, privileged bool
	DetachKeys                     string
	env, envFiles                  []string
	workdir, user                  string
	timeout                        time.Duration
}

// Bind registers the flags.
func (x *Exec) Bind(fs *pflag.FlagSet) {
	fs.BoolVarP(&x.Detach, "detach", "d", false, "run in the background")
	fs.BoolVarP(&x.stdin, "interactive", "i", false, "keep standard input open")
	fs.BoolVarP(&x.tty, "tty", "t", false, "give the process a terminal")
	fs.VarP((*List)(&x.env), "env", "e", "set `NAME=VALUE`, or pass NAME on")
	fs.Var((*List)(&x.envFiles), "env-file", "read environment variables from a `FILE`")
	fs.StringVarP(&x.workdir, "workdir", "w", "", "working directory in the container")
	fs.StringVarP(&x.user, "user", "u", "", "user `NAME|UID[:GROUP|GID]`")
	fs.BoolVar(&x.privileged, "privileged", false, "give the process all capabilities")
	fs.StringVar(&x.DetachKeys, "detach-keys", DefaultDetachKeys, "key sequence that leaves the process running")
	fs.DurationVar(&x.timeout, "timeout", 0, "kill the process and all it started after this `DURATION`")
	fs.SetInterspersed(false) // what follows the command is its own
}

// Translate turns flags and COMMAND [ARG…] into a request.
func (x *Exec) Translate(words []string, h Host) (spec.Exec, error) {
	if len(words) == 0 || words[0] == "" {
		return spec.Exec{}, fault.New(fault.Invalid, "needs a command: carob exec [FLAGS] CONTAINER COMMAND [ARG…]")
	}
	if x.workdir != "" && !strings.HasPrefix(x.workdir, "/") {
		return spec.Exec{}, bad("workdir", x.workdir, "must be an absolute path")
	}
	if x.timeout < 0 {
		return spec.Exec{}, bad("timeout", x.timeout.String(), "is negative")
	}
	env, err := environment(x.envFiles, x.env, h)
	return spec.Exec{
		Command: words, Env: env, WorkingDir: x.workdir, User: x.user, Privileged: x.privileged,
		Stdin: x.stdin, TTY: x.tty, Timeout: int64(x.timeout),
	}, err
}

// DefaultDetachKeys is Docker's.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// DetachKeys reads a comma separated list of single characters and ctrl-X, X being a
// letter or one of @ [ \ ] ^ _. An empty list never detaches.
func DetachKeys(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	var keys []byte
	for _, word := range strings.Split(s, ",") {
		c, ctrl := strings.CutPrefix(word, "ctrl-")
		switch {
		case len(c) != 1:
			return nil, bad("detach-keys", s, "\""+word+"\" is not a character or ctrl-X")
		case !ctrl:
			keys = append(keys, c[0])
		case c[0] >= 'a' && c[0] <= 'z':
			keys = append(keys, c[0]-'a'+1)
		case c[0] >= '@' && c[0] <= '_':
			keys = append(keys, c[0]-'@')
		default:
			return nil, bad("detach-keys", s, "\""+word+"\" is not ctrl with a letter or one of @[\\]^_")
		}
	}
	return keys, nil
}
