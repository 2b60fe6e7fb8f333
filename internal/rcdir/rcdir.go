// Package rcdir has the directories of OpenRC.
package rcdir

import "os"

// The directories that OpenRC is built with (openrc-run(8), FILES).
const (
	// Init has the init scripts.
	Init = "/etc/init.d"
	// Conf has the settings of services, one file each.
	Conf = "/etc/conf.d"
	// Runlevels has a directory for each runlevel, with its services.
	Runlevels = "/etc/runlevels"
)

// State is where OpenRC keeps what it knows of services: RC_SVCDIR, which it
// sets for its scripts, or else where it is on a machine that has booted. Any
// thread may call it.
func State() string {
	if dir := os.Getenv("RC_SVCDIR"); dir != "" {
		return dir
	}
	return "/run/openrc"
}
