package openrc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
	"openrc-netns/internal/launch"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
)

// Exec becomes argv in the place where the action belongs, with the environment
// that the drop-in gave (see environment). Token is what the drop-in is to have
// back inside.
//
// Where it cannot, it becomes OpenRC's eerror, as Refuse does. It is for the
// thread that the process started on.
func (a Action) Exec(settings Settings, token string, argv []string) error {
	return a.become(settings, token, argv, environment())
}

func (a Action) become(settings Settings, token string, argv, env []string) error {
	err := a.exec(settings, token, argv, env)
	if a.Name == Start {
		// The drop-in has let OpenRC make the service's cgroup.
		_ = cgroup.LeaveService(a.Service, 0)
	}
	return a.fail(err.Error())
}

// Refuse refuses the action, be it that the start which is to follow would
// fail: it becomes OpenRC's eerror, which knows about colours, indentation and
// the log, and which exits with status 1. Without one, it is up to the caller
// to print the error.
func (a Action) Refuse(why string) error {
	if a.Restart {
		why = startWouldFail + why
	}
	return a.fail(why)
}

func (a Action) fail(why string) error {
	text := a.Service + ": " + why
	if dir := os.Getenv("RC_LIBEXECDIR"); dir != "" {
		_ = unix.Exec(filepath.Join(dir, "bin", "eerror"), []string{"eerror", text}, os.Environ())
	}
	return errors.New(text)
}

func (a Action) exec(settings Settings, token string, argv, env []string) error {
	var notices []string
	warn := func(text string) { notices = append(notices, text) }
	plan, err := a.plan(settings, argv, env, warn)
	if err != nil {
		return err
	}
	if a.Name == Status {
		where, warnings := whereabouts(a.Service, settings, plan.Namespace())
		if where != "" {
			plan.Setenv(whereEnv, where)
		}
		notices = join(notices, warnings)
	}
	confined, err := plan.Enter()
	if err != nil {
		return err
	}
	undo, err := a.writeRecord(settings, plan, confined)
	if err != nil {
		plan.Leave()
		return err
	}
	plan.Setenv(enteredEnv, entered(token))
	if confined != "" {
		plan.Setenv(cgroupEnv, confined)
	}
	if len(notices) > 0 {
		plan.Setenv(noticeEnv, strings.Join(notices, "\n"))
	}
	err = plan.Exec()
	undo()
	return err
}

// writeRecord keeps where the start has gone, for the calling thread that is
// there. The rest of a start has a record, which changes if the view of its
// beginning has gone.
func (a Action) writeRecord(settings Settings, plan *launch.Plan, confined string) (undo func(), err error) {
	resumes := a.resumes()
	if a.Name != Start || !settings.Confined() || resumes && !plan.HasView() {
		return func() {}, nil
	}
	cookie, err := namespace.CurrentCookie()
	if err != nil {
		return nil, err
	}
	record := Record{
		ID:     namespace.ID{Inode: plan.Namespace().Inode(), Cookie: cookie},
		Cgroup: confined,
		Netns:  settings.Netns,
		View:   settings.viewLine(),
	}
	if before, err := ReadRecord(a.Service); resumes && err == nil && before != nil {
		record.Netns = before.Netns
		if confined == "" {
			record.Cgroup = before.Cgroup
		}
	}
	if plan.HasView() {
		if record.Mounts, err = mounts.CurrentID(); err != nil {
			return nil, err
		}
	}
	return record.write(a.Service)
}
