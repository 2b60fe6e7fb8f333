package main

import (
	"errors"
	"fmt"
	"os"

	"openrc-netns/internal/cgroup"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/option"
)

// execService becomes the command in the service's network namespace.
func execService(args []string) error {
	var action openrc.Action
	var settings openrc.Settings
	var word, token string
	set := option.Set{AllowEmpty: true}
	set.Value(&action.Service, "service", 0)
	set.Value(&action.Name, "action", 0)
	set.Flag(&action.Restart, "restart", 0)
	set.Value(&word, "protocol", 0)
	set.Value(&token, "token", 0)
	values := make([]string, len(openrc.Names))
	for i, name := range openrc.Names {
		set.Value(&values[i], name, 0)
	}
	argv, _, err := set.Parse(args)
	if errors.Is(err, option.ErrHelp) {
		return err
	}
	if word != openrc.Protocol {
		if action.Name == openrc.Start || action.Restart {
			return action.Refuse("openrc-netns-hook is not of the version of the drop-in, install openrc-netns again")
		}
		if word != "" { // the drop-in's, and what stops a service both know
			set.IgnoreUnknown = true
			argv, _, err = set.Parse(args)
		}
	}
	if err != nil {
		return fmt.Errorf("exec: %w; see: openrc-netns-hook --help", err)
	}
	for i, name := range openrc.Names {
		settings.Set(name, values[i])
	}
	if action.Service == "" || action.Name == "" || len(argv) == 0 {
		return errors.New("exec: needs --service, --action and a command; see: openrc-netns-hook --help")
	}
	return action.Exec(settings, token, argv)
}

// lost stands in for the library of the drop-in. The arguments are the file
// that is lost; the command line of openrc-run.sh; netns, vrf and netns_lock;
// openrc-run.sh and the init script.
func lost(args []string) error {
	if len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
		return option.ErrHelp
	}
	if len(args) != 7 {
		return errors.New("lost: needs what the drop-in gives it; see: openrc-netns-hook --help")
	}
	answer, err := openrc.Lost{
		File: args[0], Line: args[1],
		Settings: openrc.Settings{Netns: args[2], VRF: args[3], Lock: args[4]},
		Program:  args[5], Script: args[6],
	}.Exec(func(text string) { fmt.Fprintf(os.Stderr, "openrc-netns-hook: %s\n", text) })
	if err != nil {
		return err
	}
	return write(answer)
}

// leave takes the calling openrc-run.sh out of the cgroup that was made for its
// service, and removes that once nothing else is in it.
func leave(args []string) error {
	var service string
	var set option.Set
	set.Value(&service, "service", 0)
	operands, _, err := set.Parse(args)
	switch {
	case errors.Is(err, option.ErrHelp):
		return err
	case err != nil:
		return fmt.Errorf("leave: %w; see: openrc-netns-hook --help", err)
	case service == "" || len(operands) > 0:
		return errors.New("leave: needs --service and nothing else; see: openrc-netns-hook --help")
	}
	return cgroup.LeaveService(service, os.Getppid())
}
