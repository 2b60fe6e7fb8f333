package preflight

import (
	"strings"

	"openrc-netns/internal/openrc"
	"openrc-netns/internal/provision"
	"openrc-netns/internal/publish"
	"openrc-netns/internal/serviceconf"
)

// settings are the variables of ours that begin with netns_, those of the
// services of namespaces included.
var settings = append([]string{provision.InterfacesSetting, provision.WireGuardSetting, provision.VethSetting,
	provision.DNSSetting, provision.SysctlSetting, openrc.InheritSetting, serviceconf.DefaultSetting, serviceconf.RunlevelsSetting, publish.Setting, publish.OptionsSetting}, openrc.Names...)

// nearestSetting is the setting that a variable was probably meant to be; empty
// where the variable is one, or is like none.
func nearestSetting(name string) string {
	if !strings.HasPrefix(name, "netns_") {
		return "" // ordinary words are near to vrf
	}
	return nearest(name, settings)
}

// nearest is that one of names which is at an edit distance of no more than two
// from name; empty where there is none, or where name is one of them.
func nearest(name string, names []string) string {
	best, distance := "", 3
	for _, candidate := range names {
		d := editDistance(name, candidate)
		if d == 0 {
			return ""
		}
		// Of a short name little is left after two edits.
		if d < distance && 2*d < len(candidate) {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance is the number of characters to insert, drop, replace, or swap
// with their neighbour to make a of b (the optimal string alignment distance).
func editDistance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := row[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			next[j] = min(replaced, row[j]+1, next[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
