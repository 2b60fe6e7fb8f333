package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/option"
	"openrc-netns/internal/vrf"
)

// What the drop-in and the hook tell each other. All but the first the drop-in
// takes out of the environment before anything else runs.
const (
	// environEnv is the environment in which openrc-run.sh is to start over:
	// a line for each variable, with \1 for the newlines in it; see environment.
	environEnv = "OPENRC_NETNS_ENVIRON"
	// enteredEnv is the process that was let in, a blank, and what the drop-in
	// gave as --token: the settings in a spelling of its own.
	enteredEnv = "OPENRC_NETNS_ENTERED"
	// cgroupEnv is the cgroup that binds the sockets of what is started.
	cgroupEnv = "OPENRC_NETNS_CGROUP"
	// noticeEnv is what the drop-in is to warn of.
	noticeEnv = "OPENRC_NETNS_NOTICE"
	// whereEnv is where the service runs, for the drop-in to say.
	whereEnv = "OPENRC_NETNS_WHERE"
)

// execService becomes the command in the service's network namespace. Where it
// cannot, it becomes OpenRC's eerror, which knows about colours, indentation
// and the log, and which exits with status 1.
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
			return refuse(action, "openrc-netns-hook is not of the version of the drop-in, install openrc-netns again")
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
	err = become(action, settings, token, argv)
	if action.Name == openrc.Start {
		// The drop-in has let OpenRC make the service's cgroup.
		_ = vrf.Leave(action.Service, 0)
	}
	return eerror(fmt.Sprintf("%s: %v", action.Service, err))
}

// refuse refuses a start, or the stop that one is to follow.
func refuse(action openrc.Action, why string) error {
	if action.Name != openrc.Start {
		why = "not stopped, because the start would fail: " + why
	}
	return eerror(action.Service + ": " + why)
}

func become(action openrc.Action, settings openrc.Settings, token string, argv []string) error {
	var notices []string
	warn := func(text string) { notices = append(notices, text) }
	plan, err := action.Check(settings, argv, environment(), warn)
	if err != nil {
		return err
	}
	if action.Name == openrc.Status {
		where, warnings := whereabouts(action.Service, settings, plan.Namespace())
		if where != "" {
			plan.Setenv(whereEnv, where)
		}
		notices = join(notices, warnings)
	}
	cgroup, err := plan.Enter()
	if err != nil {
		return err
	}
	undo := func() {}
	// The rest of a start has a record, which changes if the view of its beginning has
	// gone.
	if resumes := action.Resumes(); action.Name == openrc.Start && settings.Confined() && (!resumes || plan.HasView()) {
		record := openrc.Record{
			ID:     namespace.ID{Inode: plan.Namespace().Inode(), Cookie: namespace.CurrentCookie()},
			Cgroup: cgroup,
			Netns:  settings.Netns,
			View:   settings.View(),
		}
		if before, err := openrc.ReadRecord(action.Service); resumes && err == nil && before != nil {
			record.Netns = before.Netns
			if cgroup == "" {
				record.Cgroup = before.Cgroup
			}
		}
		if plan.HasView() {
			if record.Mounts, err = mounts.CurrentID(); err != nil {
				plan.Leave()
				return err
			}
		}
		if undo, err = openrc.WriteRecord(action.Service, record); err != nil {
			plan.Leave()
			return err
		}
	}
	plan.Setenv(enteredEnv, fmt.Sprintf("%d %s", os.Getpid(), token))
	if cgroup != "" {
		plan.Setenv(cgroupEnv, cgroup)
	}
	if len(notices) > 0 {
		plan.Setenv(noticeEnv, strings.Join(notices, "\n"))
	}
	err = plan.Exec()
	undo()
	return err
}

// join puts what status says behind what the action has to say. A remedy alone goes
// on the line that it is for.
func join(notices, warnings []string) []string {
	if len(notices) > 0 && len(warnings) > 0 && strings.HasPrefix(warnings[0], "fix it") {
		notices[len(notices)-1] += "; " + warnings[0]
		warnings = warnings[1:]
	}
	return append(notices, warnings...)
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
	return vrf.Leave(service, os.Getppid())
}

// eerror becomes OpenRC's program of that name; without one, it is up to the
// caller to print the error.
func eerror(text string) error {
	program := filepath.Join(os.Getenv("RC_LIBEXECDIR"), "bin", "eerror")
	if os.Getenv("RC_LIBEXECDIR") != "" {
		_ = unix.Exec(program, []string{"eerror", text}, os.Environ())
	}
	return errors.New(text)
}
