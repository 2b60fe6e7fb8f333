package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"openrc-netns/internal/privilege"
	"openrc-netns/internal/provision"
)

// up makes a network namespace what the settings of its service say.
func up(args []string) error {
	var interfaces, sysctls []string
	flags := pflag.NewFlagSet("up", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.StringArrayVar(&interfaces, "interface", nil, "")
	flags.StringArrayVar(&sysctls, "sysctl", nil, "")
	name, err := parseName(flags, args)
	if err != nil {
		return err
	}
	return serviceError(name, func() (err error) {
		spec := provision.Spec{Name: name}
		if spec.Interfaces, err = provision.ParseInterfaces(strings.Join(interfaces, " ")); err != nil {
			return err
		}
		if spec.Sysctls, err = provision.ParseSysctls(strings.Join(sysctls, " ")); err != nil {
			return err
		}
		if err := privilege.CheckSysAdmin(); err != nil {
			return err
		}
		return provision.Up(spec, func(text string) { report("einfo", text) })
	})
}

// down undoes what up did.
func down(args []string) error {
	flags := pflag.NewFlagSet("down", pflag.ContinueOnError)
	flags.Usage = func() {}
	name, err := parseName(flags, args)
	if err != nil {
		return err
	}
	return serviceError(name, func() error {
		if err := privilege.CheckSysAdmin(); err != nil {
			return err
		}
		return provision.Down(name, func(text string) { report("ewarn", text) })
	})
}

func parseName(flags *pflag.FlagSet, args []string) (string, error) {
	if err := flags.Parse(args); err != nil {
		return "", fmt.Errorf("%s: %w; see: rc-netns --help", flags.Name(), err)
	}
	if flags.NArg() != 1 {
		return "", fmt.Errorf("%s: needs the name of one network namespace; see: rc-netns --help", flags.Name())
	}
	return flags.Arg(0), nil
}

// service is the OpenRC service of a network namespace.
func service(name string) string { return "netns." + name }

// serviceError has OpenRC print each error of f, with the service's name first; by
// hand, where there is no OpenRC around, it returns them.
func serviceError(name string, f func() error) error {
	err := f()
	if err == nil || os.Getenv("RC_LIBEXECDIR") == "" {
		return err
	}
	for line := range strings.Lines(err.Error()) {
		report("eerror", service(name)+": "+strings.TrimSuffix(line, "\n"))
	}
	return errReported
}

// errReported is for what has been said already.
var errReported = errors.New("failed")

// report runs OpenRC's program of that name, eerror for instance; without one, the
// text goes to standard error.
func report(program, text string) {
	if dir := os.Getenv("RC_LIBEXECDIR"); dir != "" {
		process, err := os.StartProcess(filepath.Join(dir, "bin", program), []string{program, text},
			&os.ProcAttr{Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
		if err == nil {
			_, _ = process.Wait()
			// Unless it knows better, the next one ends the line of ebegin again.
			_ = os.Setenv("EINFO_LASTCMD", program)
			return
		}
	}
	fmt.Fprintf(os.Stderr, "rc-netns: %s\n", text)
}
