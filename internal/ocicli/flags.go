package ocicli

import (
	"strconv"
	"strings"

	"carob/internal/fault"
)

// kind is what a flag takes.
type kind uint8

const (
	isBool kind = iota
	isText
	isList // may be given several times
)

// option is one flag of a command.
type option struct {
	name, short string
	kind        kind
	help        string
}

// arguments are a command line that has been read.
type arguments struct {
	flags map[string][]string
	rest  []string
}

func (a arguments) has(name string) bool { return len(a.flags[name]) > 0 && a.text(name) != "false" }

func (a arguments) text(name string) string {
	if v := a.flags[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

func (a arguments) list(name string) []string { return a.flags[name] }

func (a arguments) number(name string) (int64, error) {
	t := a.text(name)
	if t == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return 0, fault.New(fault.Invalid, "--"+name+": "+strconv.Quote(t)+" is no number")
	}
	return n, nil
}

// parse reads flags and arguments: --name value, --name=value, -n value, -n=value. After
// most operands no more flags are looked for; "--" ends them everywhere. Flags may follow
// operands until there are most of them, as tools write "kill ID --all".
func parse(args []string, options []option, most int) (a arguments, err error) {
	a.flags = map[string][]string{}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			a.rest = append(a.rest, args...)
			return a, nil
		case len(word) < 2 || word[0] != '-' || isNumber(word) && len(a.rest) > 0:
			a.rest = append(a.rest, word)
			if len(a.rest) >= most {
				a.rest = append(a.rest, args...)
				return a, nil
			}
		default:
			if args, err = a.flag(word, args, options); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

func isNumber(word string) bool {
	_, err := strconv.Atoi(word)
	return err == nil
}

// flag reads one flag; it returns the arguments behind it.
func (a arguments) flag(word string, args []string, options []option) ([]string, error) {
	name, value, given := strings.Cut(strings.TrimLeft(word, "-"), "=")
	o, ok := find(name, options)
	switch {
	case !ok:
		return nil, fault.New(fault.Invalid, "flag provided but not defined: "+word)
	case o.kind == isBool && !given:
		value = "true"
	case o.kind == isBool:
		on, err := strconv.ParseBool(value)
		if err != nil {
			return nil, fault.New(fault.Invalid, word+": is true or false")
		}
		value = strconv.FormatBool(on)
	case !given && len(args) == 0:
		return nil, fault.New(fault.Invalid, "flag needs an argument: "+word)
	case !given:
		value, args = args[0], args[1:]
	}
	if o.kind != isList {
		a.flags[o.name] = nil
	}
	a.flags[o.name] = append(a.flags[o.name], value)
	return args, nil
}

func find(name string, options []option) (option, bool) {
	for _, o := range options {
		if name == o.name || name != "" && name == o.short {
			return o, true
		}
	}
	return option{}, false
}
