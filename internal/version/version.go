// Package version knows which version of openrc-netns this is.
package version

import "runtime/debug"

// linked is set by the Makefile with -ldflags -X, from git-describe(1).
var linked string

// String is the version: what the Makefile put in, else the version control
// revision or module version that the Go tool recorded, else "unknown".
func String() string {
	if linked != "" {
		return linked
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "unknown"
}
