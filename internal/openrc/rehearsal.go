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

// Try finds out whether the start could enter, as launch.Plan.Rehearse does, and
// would find Program there. Nothing is run.
func (r Rehearsal) Try() error {
	spec, err := r.Settings.Spec()
	if err != nil {
		return err
	}
	spec.Service, spec.Warn, spec.Home, spec.Trial = r.Service, r.Warn, true, true
	spec.Argv = []string{r.Program}
	check := checkStart
	if r.Fresh {
		spec.Inside = namespace.Fresh()
		spec.Lock = spec.Lock || spec.VRF != "" // the kernel needs the same for both
		spec.VRF = ""
		check = launch.Check
	}
	plan, err := check(spec)
	if err != nil {
		return err
	}
	defer plan.Namespace().Close()
	return plan.Rehearse()
}
