// Package dropin holds the file that openrc-run.sh sources, for who wants to
// compare.
package dropin

import _ "embed"

// Text is 50-netns.conf as it is in the source tree; "make install" changes the
// line that sets _netns_hook.
//
//go:embed 50-netns.conf
var Text string
