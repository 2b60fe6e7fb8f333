// Package version knows which version of openrc-netns this is.
package version

import (
	_ "embed"
	"runtime/debug"
	"strings"
)

// word is the version of the tree. One that ends in -dev is between two
// releases.
//
//go:embed VERSION
var word string

// linked is set by the Makefile with -ldflags -X: word, and for a development
// build the revision by git-describe(1).
var linked string

// String is the version: what the Makefile put in, else that of the tree, with
// the revision that the Go tool recorded if it is a development version.
func String() string {
	if linked != "" {
		return linked
	}
	version := strings.TrimSpace(word)
	info, ok := debug.ReadBuildInfo()
	if !ok || !strings.HasSuffix(version, "-dev") {
		return version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return version + "+" + setting.Value[:min(7, len(setting.Value))]
		}
	}
	return version
}
