// Package option reads a command line as getopt_long(3) does, but for
// abbreviated names: "-u X", "-uX", "-nu X", "--user X" and "--user=X", up to
// the first operand. It is for what every launch waits for: a library for
// command lines brings as much package initialization as all the rest of a
// launch.
package option

import (
	"errors"
	"fmt"
	"strings"
)

// ErrHelp is what Parse returns for -h and --help.
var ErrHelp = errors.New("help was asked for")

// Set is the options that a command knows.
type Set struct {
	// AllowEmpty says that a value may be empty.
	AllowEmpty bool
	// IgnoreUnknown says that options which are not in the set are passed over,
	// each with the value that may follow it.
	IgnoreUnknown bool

	options []spec
}

type spec struct {
	name   string
	letter byte // 0 if there is none
	flag   *bool
	set    func(value string) // for an option that takes a value
}

// Flag adds an option without a value. A letter of 0 is none.
func (s *Set) Flag(p *bool, name string, letter byte) {
	s.options = append(s.options, spec{name: name, letter: letter, flag: p})
}

// Value adds an option with a value; the last one counts.
func (s *Set) Value(p *string, name string, letter byte) {
	s.options = append(s.options, spec{name: name, letter: letter, set: func(value string) { *p = value }})
}

// Values adds an option with a value that may be given again.
func (s *Set) Values(p *[]string, name string) {
	s.options = append(s.options, spec{name: name, set: func(value string) { *p = append(*p, value) }})
}

// Parse sets what the options of args say, and returns the operands. Dashes
// reports whether there was a "--" before the first of them.
func (s *Set) Parse(args []string) (operands []string, dashes bool, err error) {
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "--":
			return args[1:], true, nil
		case len(arg) < 2 || arg[0] != '-':
			return args, false, nil
		case arg[1] == '-':
			args, err = s.long(arg[2:], args[1:])
		default:
			args, err = s.short(arg[1:], args[1:])
		}
		if err != nil {
			return nil, false, err
		}
	}
	return nil, false, nil
}

// long reads one option, and returns what is left of the arguments.
func (s *Set) long(text string, rest []string) ([]string, error) {
	name, value, given := strings.Cut(text, "=")
	o := s.find(func(o *spec) bool { return o.name == name })
	switch {
	case o == nil && name == "help":
		return nil, ErrHelp
	case o == nil && s.IgnoreUnknown:
		if !given && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			rest = rest[1:]
		}
		return rest, nil
	case o == nil:
		return nil, fmt.Errorf("unknown option %q", "--"+name)
	case o.set != nil:
		return s.take(o, "--"+name, value, given, rest)
	case given:
		return nil, fmt.Errorf("option %q takes no value", "--"+name)
	}
	*o.flag = true
	return rest, nil
}

// short is long for letters, of which the last one may have a value.
func (s *Set) short(letters string, rest []string) ([]string, error) {
	for i := range len(letters) {
		o := s.find(func(o *spec) bool { return o.letter == letters[i] })
		switch {
		case o == nil && letters[i] == 'h':
			return nil, ErrHelp
		case o == nil:
			return nil, fmt.Errorf("unknown option %q", "-"+letters[i:i+1])
		case o.set != nil:
			value := letters[i+1:]
			return s.take(o, "-"+letters[i:i+1], value, value != "", rest)
		}
		*o.flag = true
	}
	return rest, nil
}

func (s *Set) find(is func(*spec) bool) *spec {
	for i := range s.options {
		if is(&s.options[i]) {
			return &s.options[i]
		}
	}
	return nil
}

// take gives an option its value, or else the next argument.
func (s *Set) take(o *spec, spelled, value string, given bool, rest []string) ([]string, error) {
	if !given && len(rest) > 0 {
		value, given, rest = rest[0], true, rest[1:]
	}
	if !given || value == "" && !s.AllowEmpty {
		return nil, fmt.Errorf("option %q needs a value", spelled)
	}
	o.set(value)
	return rest, nil
}
