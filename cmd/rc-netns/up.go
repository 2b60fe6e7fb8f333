package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"openrc-netns/internal/finding"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/provision"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
)

// up makes a network namespace what the settings of its service say.
func up(args []string) error {
	var lists [5][]string
	var config, routes []string
	var try bool
	flags := pflag.NewFlagSet("up", pflag.ContinueOnError)
	flags.Usage = func() {}
	for i, name := range []string{"interface", "wireguard", "veth", "dns", "sysctl"} {
		flags.StringArrayVar(&lists[i], name, nil, "")
	}
	flags.StringArrayVar(&config, "config", nil, "")
	flags.StringArrayVar(&routes, "routes", nil, "")
	flags.BoolVarP(&try, "dry-run", "n", false, "")
	name, err := parseName(flags, args)
	if err != nil {
		return err
	}
	if set := flags.NFlag(); set == 0 || set == 1 && try {
		if err := mistaken(name); err != nil {
			return err
		}
	}
	join := func(i int) string { return strings.Join(lists[i], " ") }
	settings := provision.Settings{Interfaces: join(0), WireGuard: join(1), Veth: join(2), DNS: join(3), Sysctl: join(4)}
	if settings.Config, err = byInterface("config", config); err != nil {
		return err
	}
	if settings.Routes, err = byInterface("routes", routes); err != nil {
		return err
	}
	return serviceError(name, func() error {
		spec, warnings, mistakes := settings.Spec(name)
		if len(mistakes) > 0 {
			var errs []error
			for _, m := range mistakes {
				errs = append(errs, m.Err)
			}
			return errors.Join(errs...)
		}
		if err := privilege.CheckSysAdmin(); err != nil {
			return err
		}
		if try {
			return provision.Try(spec)
		}
		for _, warning := range warnings {
			report("ewarn", warning.Error())
		}
		return provision.Up(spec, func(text string) { report("einfo", text) })
	})
}

// mistaken is the error for who gives no option, as the service of a network
// namespace always does, and names one that has such a service, or a service that
// belongs in another one.
func mistaken(name string) error {
	script, file := service(name), filepath.Join(rcdir.Conf, service(name))
	if _, err := os.Stat(file); err == nil {
		start := "rc-service " + script + " start"
		if !openrc.HasScript(script) {
			start = "ln -s netns " + filepath.Join(rcdir.Init, script) + " && " + start
		}
		return fmt.Errorf("up: the settings of network namespace %q are in %s, for its service to read; use: %s", name, file, start)
	}
	settings, err := serviceconf.Read(name)
	if err != nil || settings.Netns == "" || settings.Netns == name {
		return nil
	}
	create := oneLine(finding.Run(namespace.CreateCommand(settings.Netns)...))
	return fmt.Errorf("up: %q is a service, and its network namespace is %q; use: %s", name, settings.Netns, create)
}

// byInterface takes the values of an option apart, each IFACE=VALUE. Those for
// one interface go together.
func byInterface(option string, values []string) (map[string]string, error) {
	found := map[string]string{}
	for _, value := range values {
		iface, text, separated := strings.Cut(value, "=")
		if !separated || iface == "" {
			return nil, fmt.Errorf("up: --%s %q: write it as IFACE=VALUE; see: rc-netns --help", option, value)
		}
		iface = provision.Variable(iface)
		found[iface] = strings.TrimPrefix(found[iface]+"\n"+text, "\n")
	}
	return found, nil
}

// down undoes what up did.
func down(args []string) error {
	var restart bool
	flags := pflag.NewFlagSet("down", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.BoolVar(&restart, "restart", false, "")
	name, err := parseName(flags, args)
	if err != nil {
		return err
	}
	return serviceError(name, func() error {
		if err := privilege.CheckSysAdmin(); err != nil {
			return err
		}
		return provision.Down(name, restart, func(text string) { report("ewarn", text) })
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

// serviceError has OpenRC print each error of f, with the service's name first;
// by hand, where there is no OpenRC around, it returns them.
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

// report runs OpenRC's program of that name, eerror for instance; without one,
// the text goes to standard error.
func report(program, text string) {
	text = clean(text)
	if dir := os.Getenv("RC_LIBEXECDIR"); dir != "" {
		process, err := os.StartProcess(filepath.Join(dir, "bin", program), []string{program, text},
			&os.ProcAttr{Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
		if err == nil {
			_, _ = process.Wait()
			// Unless it knows better, the next one ends the line of ebegin
			// again.
			_ = os.Setenv("EINFO_LASTCMD", program)
			return
		}
	}
	fmt.Fprintf(os.Stderr, "rc-netns: %s\n", text)
}
