package repair

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"openrc-netns/internal/aside"
	"openrc-netns/internal/audit"
	"openrc-netns/internal/mounts"
)

// bind binds again what is gone, in each mount namespace of the service.
func (m *repairing) bind() {
	own, err := mounts.CurrentID()
	for _, v := range m.Views {
		// Where the name leads elsewhere by now, the files are those of
		// another network namespace.
		if len(v.Lost) == 0 || !v.Own || v.Apart || v.Process.Position != audit.Inside {
			continue
		}
		if err != nil || own.Inode == v.Mounts {
			m.add(Bound, v.Lost[0].Target, v.Process, errors.Join(err, errors.New("it shares the mount namespace of this program")))
			continue
		}
		for _, bind := range v.Lost {
			bound, err := true, error(nil)
			if !m.try {
				bound, err = bindAside(v, bind)
			}
			if bound || err != nil && v.Process.Lives() {
				m.add(Bound, bind.Target, v.Process, err)
			}
			if errors.Is(err, errNoAnswer) {
				return // and not five seconds for each
			}
		}
	}
}

var errNoAnswer = errors.New("the file systems of the service do not answer")

// BindCommand has rc-netns call PrintBind.
const BindCommand = "bind"

const (
	bound   = "bound"
	nothing = "nothing"
)

// bindAside has another process do it: what is mounted on the way may keep it waiting.
func bindAside(v audit.View, b mounts.Bind) (bool, error) {
	const patience = 5 * time.Second
	answer, err := aside.Run(patience, BindCommand, strconv.Itoa(v.Process.PID), fmt.Sprint(v.ID), b.Source, b.Target)
	switch {
	case errors.Is(err, aside.ErrNoAnswer):
		err = errNoAnswer
	case err == nil && answer != bound && answer != nothing:
		err = errors.New(answer)
	}
	return answer == bound, err
}

// PrintBind binds a file again in the mount namespace of a process, and prints bound,
// nothing, or why it could not. The arguments are the number of the process, the ID of
// the mount namespace, and source and target of the bind. It needs what Run needs.
func PrintBind(args []string) {
	const all = 4
	if len(args) != all {
		return
	}
	pid, _ := strconv.Atoi(args[0])
	ns, err := mounts.Of(pid)
	if err != nil || fmt.Sprint(ns.ID()) != args[1] || !ns.SameOwner() {
		fmt.Print(nothing)
		return
	}
	defer ns.Close()
	switch done, err := ns.BindAgain(mounts.Bind{Source: args[2], Target: args[3]}); {
	case err != nil:
		fmt.Print(err)
	case done:
		fmt.Print(bound)
	default:
		fmt.Print(nothing)
	}
}
