package tool

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Options are a tool's options by their letter.
type Options map[byte]string

// Has reports whether the option was given.
func (o Options) Has(letter byte) bool { _, ok := o[letter]; return ok }

// parser is getopt_long(3): see Parse.
type parser struct {
	spec string
	long []string
	o    Options
	rest []string // arguments not looked at yet
}

// Parse reads options the way getopt_long(3) does. spec lists letters, one with a colon
// takes a value; long maps names to letters, "recursive=r". Operands may stand between
// options unless spec begins with a plus, as that of a tool that runs another command
// does; "--" ends the options.
func (c *Call) Parse(spec string, long ...string) (o Options, operands []string, err error) {
	spec, inOrder := strings.CutPrefix(spec, "+")
	p := parser{spec: spec, long: long, o: Options{}, rest: c.Args}
	for len(p.rest) > 0 {
		arg := p.rest[0]
		if arg == "--" {
			return p.o, append(operands, p.rest[1:]...), nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			if inOrder {
				return p.o, p.rest, nil
			}
			operands, p.rest = append(operands, arg), p.rest[1:]
			continue
		}
		p.rest = p.rest[1:]
		if arg[1] == '-' {
			err = p.takeLong(arg[2:])
		} else {
			err = p.takeShort(arg[1:])
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return p.o, operands, nil
}

// wants reports whether a letter is an option, and whether it takes a value.
func (p *parser) wants(letter byte) (known, value bool) {
	i := strings.IndexByte(p.spec, letter)
	if i < 0 || letter == ':' {
		return false, false
	}
	return true, i+1 < len(p.spec) && p.spec[i+1] == ':'
}

func (p *parser) takeShort(letters string) error {
	for letters != "" {
		letter := letters[0]
		letters = letters[1:]
		known, value := p.wants(letter)
		if !known {
			return Misused("invalid option -- '%c'", letter)
		}
		if !value {
			p.o[letter] = ""
			continue
		}
		if letters == "" {
			if len(p.rest) == 0 {
				return Misused("option requires an argument -- '%c'", letter)
			}
			letters, p.rest = p.rest[0], p.rest[1:]
		}
		p.o[letter], letters = letters, ""
	}
	return nil
}

func (p *parser) takeLong(arg string) error {
	name, v, given := strings.Cut(arg, "=")
	i := slices.IndexFunc(p.long, func(l string) bool { return strings.HasPrefix(l, name+"=") })
	if i < 0 {
		return Misused("unrecognized option '--%s'", name)
	}
	letter := p.long[i][len(p.long[i])-1]
	_, value := p.wants(letter)
	switch {
	case value && !given && len(p.rest) == 0:
		return Misused("option '--%s' requires an argument", name)
	case value && !given:
		v, p.rest = p.rest[0], p.rest[1:]
	case !value && given:
		return Misused("option '--%s' doesn't allow an argument", name)
	}
	p.o[letter] = v
	return nil
}

// Operands reads options and demands at least that many operands, and with most not
// negative at most that many.
func (c *Call) Operands(least, most int, spec string, long ...string) (Options, []string, error) {
	o, operands, err := c.Parse(spec, long...)
	if err == nil {
		err = AtLeast(least, operands)
	}
	if err == nil && most >= 0 && len(operands) > most {
		err = Misused("extra operand '%s'", operands[most])
	}
	if err != nil {
		return nil, nil, err
	}
	return o, operands, nil
}

// AtLeast demands so many operands.
func AtLeast(n int, operands []string) error {
	switch {
	case len(operands) >= n:
		return nil
	case len(operands) == 0:
		return Misused("missing operand")
	}
	return Misused("missing operand after '%s'", operands[len(operands)-1])
}

// EachFile opens the files one after the other, or standard input when there are none;
// "-" is standard input too. It goes on after a file that cannot be read, as Each does.
func (c *Call) EachFile(files []string, do func(name string, r io.Reader) error) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	return c.Each(files, func(name string) error {
		if name == "-" {
			return do(name, reader{c.In})
		}
		f, err := os.Open(name)
		if err != nil && c.Unopened != "" {
			return fmt.Errorf(c.Unopened, name, Why(err))
		}
		if err != nil {
			return err
		}
		defer f.Close() // for reading: nothing can be lost
		return do(name, reader{f})
	})
}

// reader has nothing but Read, so that an error of copying names the side that failed.
type reader struct{ f *os.File }

func (r reader) Read(p []byte) (int, error) { return r.f.Read(p) }
