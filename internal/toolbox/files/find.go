package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

const findWords = "-name -iname -path -type -size -mtime -mmin -newer -user -perm -empty -maxdepth -mindepth -xdev -prune -print -print0 -delete -exec -quit ! -a -o ( )"

// visited is one file that find has come to.
type visited struct {
	path  string
	name  string
	st    unix.Stat_t
	prune bool
	quit  bool
}

// condition is an expression of find, which may also act.
type condition func(v *visited) bool

// search is a parsed command line of find.
type search struct {
	c           *tool.Call
	now         time.Time
	least, most int // depths
	oneDevice   bool
	acts        bool // an action was given: -print is not implied
	inside      bool // -delete: what is in a directory comes before it
	quit        bool
	args        []string
	failed      error
}

func find(c *tool.Call) (int, error) {
	s := &search{c: c, now: time.Now(), most: -1}
	n := 0
	for n < len(c.Args) && !strings.HasPrefix(c.Args[n], "-") && c.Args[n] != "(" && c.Args[n] != "!" {
		n++
	}
	roots := c.Args[:n]
	if len(roots) == 0 {
		roots = []string{"."}
	}
	s.args = c.Args[n:]
	matches, err := s.parse()
	if err != nil {
		return 0, err
	}
	for _, root := range roots {
		if !s.quit {
			s.walk(root, matches)
		}
	}
	return 0, s.failed
}

// parse reads the whole expression.
func (s *search) parse() (condition, error) {
	always := func(*visited) bool { return true }
	matches := condition(always)
	if len(s.args) > 0 {
		var err error
		if matches, err = s.or(); err != nil {
			return nil, err
		}
		if len(s.args) > 0 {
			return nil, tool.Invalid("unexpected '%s'", s.args[0])
		}
	}
	if s.acts {
		return matches, nil
	}
	print := s.printer("\n")
	return func(v *visited) bool { return matches(v) && print(v) }, nil
}

func (s *search) next() string {
	a := s.args[0]
	s.args = s.args[1:]
	return a
}

func (s *search) or() (condition, error) {
	left, err := s.and()
	for err == nil && len(s.args) > 0 && (s.args[0] == "-o" || s.args[0] == "-or") {
		s.next()
		var right condition
		if right, err = s.and(); err == nil {
			one := left
			left = func(v *visited) bool { return one(v) || right(v) }
		}
	}
	return left, err
}

func (s *search) and() (condition, error) {
	left, err := s.not()
	for err == nil && len(s.args) > 0 && s.args[0] != "-o" && s.args[0] != "-or" && s.args[0] != ")" {
		if s.args[0] == "-a" || s.args[0] == "-and" {
			s.next()
		}
		var right condition
		if right, err = s.not(); err == nil {
			one := left
			left = func(v *visited) bool { return one(v) && right(v) }
		}
	}
	return left, err
}

func (s *search) not() (condition, error) {
	if len(s.args) == 0 {
		return nil, tool.Invalid("expression expected")
	}
	switch word := s.next(); word {
	case "!", "-not":
		inner, err := s.not()
		return func(v *visited) bool { return !inner(v) }, err
	case "(":
		inner, err := s.or()
		if err == nil && (len(s.args) == 0 || s.next() != ")") {
			err = tool.Invalid("missing ')'")
		}
		return inner, err
	default:
		return s.primary(word)
	}
}

// primary is a word with what belongs to it.
func (s *search) primary(word string) (condition, error) {
	if c := s.plain(word); c != nil {
		return c, nil
	}
	if word == "-exec" || word == "-ok" {
		return s.exec()
	}
	values := map[string]func(v string) (condition, error){
		"-name": nameMatch(false), "-iname": nameMatch(true), "-path": pathMatch, "-wholename": pathMatch, "-type": typeMatch,
		"-size": sizeMatch, "-mtime": s.ageMatch(24 * time.Hour), "-mmin": s.ageMatch(time.Minute), "-newer": newerMatch, "-user": userMatch,
		"-perm": permMatch, "-maxdepth": s.depth(&s.most), "-mindepth": s.depth(&s.least),
	}
	parse, ok := values[word]
	if !ok {
		return nil, tool.Invalid("unknown predicate '%s'", word)
	}
	if len(s.args) == 0 {
		return nil, tool.Invalid("missing argument to '%s'", word)
	}
	return parse(s.next())
}

// plain are the words without a value.
func (s *search) plain(word string) condition {
	always := func(*visited) bool { return true }
	switch word {
	case "-print":
		s.acts = true
		return s.printer("\n")
	case "-print0":
		s.acts = true
		return s.printer("\x00")
	case "-delete":
		s.acts, s.inside = true, true
		return s.remove
	case "-prune":
		return func(v *visited) bool { v.prune = true; return true }
	case "-quit":
		s.acts = true
		return func(v *visited) bool { v.quit = true; return true }
	case "-empty":
		return empty
	case "-xdev", "-mount":
		s.oneDevice = true
		return always
	case "-true", "-depth":
		s.inside = s.inside || word == "-depth"
		return always
	case "-false":
		return func(*visited) bool { return false }
	}
	return nil
}

func (s *search) printer(end string) condition {
	return func(v *visited) bool {
		path := v.path
		if end == "\n" {
			path = s.c.Shown(path)
		}
		_, err := fmt.Fprint(s.c.Out, path+end)
		if err != nil {
			s.quit = true // nobody reads on
		}
		return true
	}
}

func (s *search) remove(v *visited) bool {
	err := os.Remove(v.path)
	if err != nil {
		s.fail(tool.Cannot("cannot delete", v.path, err))
	}
	return err == nil
}

func (s *search) fail(err error) {
	s.failed = s.c.Report(err)
}

// exec runs a command for each file; with + in the place of ; too, one by one, which
// only takes longer.
func (s *search) exec() (condition, error) {
	s.acts = true
	var words []string
	for {
		if len(s.args) == 0 {
			return nil, tool.Invalid("missing argument to '-exec': want ; or + at its end")
		}
		w := s.next()
		if w == ";" || w == "+" && len(words) > 0 && words[len(words)-1] == "{}" {
			break
		}
		words = append(words, w)
	}
	if len(words) == 0 {
		return nil, tool.Invalid("missing command for '-exec'")
	}
	return func(v *visited) bool {
		args := make([]string, len(words))
		for i, w := range words {
			args[i] = strings.ReplaceAll(w, "{}", v.path)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = s.c.In, s.c.Out, s.c.Err
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			s.fail(fmt.Errorf("'%s': %s", args[0], tool.Why(err)))
		}
		return err == nil
	}, nil
}

// walk goes through a tree. What cannot be read is named, and the rest goes on.
func (s *search) walk(root string, matches condition) {
	v := &visited{path: root, name: filepath.Base(root)}
	if err := unix.Lstat(root, &v.st); err != nil {
		s.fail(fmt.Errorf("'%s': %s", root, tool.Why(err)))
		return
	}
	s.visit(v, 0, matches)
}

func (s *search) visit(v *visited, depth int, matches condition) {
	test := func() {
		if depth >= s.least && !s.quit {
			matches(v)
			s.quit = s.quit || v.quit
		}
	}
	if !s.inside {
		test()
	}
	if v.st.Mode&unix.S_IFMT == unix.S_IFDIR && !v.prune && !s.quit && (s.most < 0 || depth < s.most) {
		s.children(v, depth+1, matches)
	}
	if s.inside {
		test()
	}
}

func (s *search) children(v *visited, depth int, matches condition) {
	entries, err := os.ReadDir(v.path)
	if err != nil {
		s.fail(fmt.Errorf("'%s': %s", v.path, tool.Why(err)))
	}
	for _, e := range entries {
		child := &visited{path: strings.TrimSuffix(v.path, "/") + "/" + e.Name(), name: e.Name()}
		err := unix.Lstat(child.path, &child.st)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has gone since, as files of /proc do
		case err != nil:
			s.fail(fmt.Errorf("'%s': %s", child.path, tool.Why(err)))
		case s.oneDevice && child.st.Dev != v.st.Dev:
		default:
			s.visit(child, depth, matches)
		}
		if s.quit {
			return
		}
	}
}

func (s *search) depth(into *int) func(string) (condition, error) {
	return func(text string) (condition, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, tool.Invalid("'%s' is no depth", text)
		}
		*into = n
		return func(*visited) bool { return true }, nil
	}
}
