package openrc

import (
	"openrc-netns/internal/launch"
	"openrc-netns/internal/namespace"
)

// Rehearsal is a start that is tried without being made.
type Rehearsal struct {
	Service  string
	Settings Settings
	// Program is what would be executed inside, openrc-run.sh.
	Program string
	// Fresh says that the network namespace is made before the start. The
	// rehearsal has an empty one, and cannot look for the VRF.
	Fresh bool
	// Warn is told what a start would warn of.
	Warn func(string)
}

// Try finds out whether the start could enter, as launch.Plan.Rehearse does,
// and would find Program there. Nothing is run.
func (r Rehearsal) Try() error {
	spec, err := r.Settings.Spec()
	if err != nil {
		return err
	}
	spec.Place.HostMounts, spec.Sockets.Service = true, r.Service
	spec.Command.Argv = []string{r.Program}
	if r.Fresh {
		spec.Place.Namespace = namespace.Fresh()
		spec.Sockets.Lock = spec.Sockets.Lock || spec.Sockets.VRF != "" // the kernel needs the same for both
		spec.Sockets.VRF = ""
	}
	return rehearse(spec, r.Warn)
}

func rehearse(spec launch.Spec, warn func(string)) error {
	spec.Warn = warn
	plan, err := launch.Check(spec)
	if err != nil {
		return err
	}
	defer plan.Namespace().Close()
	return plan.Rehearse()
}
