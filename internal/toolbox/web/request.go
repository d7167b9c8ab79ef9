package web

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"carob/internal/toolbox/tool"
)

// request is what curl's arguments ask for.
type request struct {
	urls                    []string
	method, output, format  string
	socket, agent, user     string
	data                    []string
	headers                 []string
	silent, showError, fail bool
	include, head, follow   bool
	insecure, verbose       bool
	remoteName              bool
	network                 string // tcp, tcp4, tcp6
	limit, connectLimit     time.Duration
	c                       *tool.Call
}

// The letters of options that have only long names.
const (
	optionSocket  = 'U' + 0x80
	optionConnect = 'C' + 0x80
	optionRaw     = 'R' + 0x80
	optionBinary  = 'B' + 0x80
	optionJSON    = 'J' + 0x80
	optionIgnored = 'I' + 0x80
)

func longCurl(name string) (byte, bool) {
	letter, ok := map[string]byte{
		"silent": 's', "show-error": 'S', "fail": 'f', "include": 'i', "head": 'I', "output": 'o', "request": 'X', "data": 'd', "header": 'H',
		"location": 'L', "max-time": 'm', "write-out": 'w', "insecure": 'k', "verbose": 'v', "user-agent": 'A', "user": 'u', "remote-name": 'O',
		"ipv4": '4', "ipv6": '6', "no-buffer": 'N', "unix-socket": optionSocket, "connect-timeout": optionConnect, "data-raw": optionRaw,
		"data-binary": optionBinary, "json": optionJSON, "no-progress-meter": optionIgnored, "http1.1": optionIgnored, "show-headers": 'i',
	}[name]
	return letter, ok
}

// failure is an error with curl's number.
type failure struct {
	code int
	text string
}

func (f failure) Error() string { return fmt.Sprintf("(%d) %s", f.code, f.text) }

func fails(code int, format string, args ...any) error {
	return failure{code, fmt.Sprintf(format, args...)}
}

func parseCurl(c *tool.Call) (request, error) {
	q := request{limit: tool.Forever, connectLimit: tool.Forever, network: "tcp", c: c, agent: "curl/8 (carob toolbox)"}
	args := c.Args
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if len(arg) < 2 || arg[0] != '-' {
			q.urls = append(q.urls, arg)
			continue
		}
		letters := arg[1:]
		if strings.HasPrefix(arg, "--") {
			l, ok := longCurl(arg[2:])
			if !ok {
				return q, tool.Misused("option %s: is unknown", arg)
			}
			letters = string([]byte{l})
		}
		var err error
		if args, err = q.letters(arg, letters, args); err != nil {
			return q, err
		}
	}
	if len(q.urls) == 0 {
		return q, tool.Misused("(2) no URL specified")
	}
	return q, nil
}

// letters takes short options in one argument apart; a value may be its rest or the
// first of args. It returns what is left of args.
func (q *request) letters(arg, letters string, args []string) ([]string, error) {
	for letters != "" {
		letter := letters[0]
		letters = letters[1:]
		if q.flag(letter) {
			continue
		}
		set := q.value(letter)
		if set == nil {
			return nil, tool.Misused("option %s: is unknown", arg)
		}
		if letters == "" {
			if len(args) == 0 {
				return nil, tool.Misused("option %s: requires parameter", arg)
			}
			letters, args = args[0], args[1:]
		}
		return args, set(letters)
	}
	return args, nil
}

// flag sets an option without value, and reports whether the letter is one.
func (q *request) flag(letter byte) bool {
	switch letter {
	case '4', '6':
		q.network = "tcp" + string(letter)
		return true
	case 'N', optionIgnored: // there is no progress meter, output is not buffered, and HTTP is 1.1
		return true
	}
	flags := map[byte]*bool{
		's': &q.silent, 'S': &q.showError, 'f': &q.fail, 'i': &q.include, 'I': &q.head, 'L': &q.follow, 'k': &q.insecure, 'v': &q.verbose, 'O': &q.remoteName,
	}
	f, ok := flags[letter]
	if ok {
		*f = true
	}
	return ok
}

// value returns what takes an option's value, nil for a letter that is none.
func (q *request) value(letter byte) func(v string) error {
	text := map[byte]*string{'o': &q.output, 'X': &q.method, 'w': &q.format, 'A': &q.agent, 'u': &q.user, optionSocket: &q.socket}
	if into := text[letter]; into != nil {
		return func(v string) error { *into = v; return nil }
	}
	switch letter {
	case 'H':
		return func(v string) error { q.headers = append(q.headers, v); return nil }
	case 'd', optionBinary:
		return func(v string) error { return q.addData(v, letter == 'd') }
	case optionRaw:
		return func(v string) error { q.data = append(q.data, v); return nil }
	case optionJSON:
		return func(v string) error {
			q.headers = append([]string{"Content-Type: application/json", "Accept: application/json"}, q.headers...)
			return q.addData(v, false)
		}
	case 'm':
		return func(v string) error { return setLimit(&q.limit, v) }
	case optionConnect:
		return func(v string) error { return setLimit(&q.connectLimit, v) }
	}
	return nil
}

// addData takes text, or with @ a file's or with @- standard input's; a form's text has no
// line ends.
func (q *request) addData(v string, form bool) error {
	if name, ok := strings.CutPrefix(v, "@"); ok {
		if name == "-" {
			name = "/dev/stdin"
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return fails(curlRead, "Failed to open %s", name)
		}
		if v = string(text); form {
			v = strings.NewReplacer("\r", "", "\n", "").Replace(v)
		}
	}
	q.data = append(q.data, v)
	return nil
}

func setLimit(into *time.Duration, v string) error {
	seconds, err := strconv.ParseFloat(v, 64)
	if err != nil || !(seconds >= 0) || seconds > 1e9 {
		return tool.Misused("option: expected a proper number of seconds, not '%s'", v)
	}
	*into = cmp.Or(time.Duration(seconds*float64(time.Second)), tool.Forever) // 0 is no limit
	return nil
}

// report prints a transfer's failure unless it is to be silent, and returns its number.
func (q *request) report(err error) int {
	if err == nil {
		return 0
	}
	var f failure
	if !errors.As(err, &f) {
		f = failure{curlReceive, err.Error()}
	}
	if !q.silent || q.showError {
		fmt.Fprintf(q.c.Err, "curl: %s\n", tool.Printable(f.Error()))
	}
	return f.code
}
