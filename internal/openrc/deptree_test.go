package openrc

import "testing"

// OpenRC writes what a script says, and scripts can wait for each other.
func TestWaitsInARing(t *testing.T) {
	d := Dependencies{"netns.vpn": {"wireguard"}, "wireguard": {"net"}, "net": {"wireguard", "localmount"}}
	for other, want := range map[string]bool{"net": true, "localmount": true, "sshd": false} {
		if got := d.Waits("netns.vpn", other); got != want {
			t.Errorf("waits for %s: %v", other, got)
		}
	}
}
