package openrc

import "testing"

// Part of what another rc-netns says would lead elsewhere.
func TestParseSettings(t *testing.T) {
	settings, odd := ParseSettings("netns=vpn\x00netns_lock=yes\x00")
	if want := (Settings{Netns: "vpn", Lock: "yes"}); settings != want || odd != "" {
		t.Errorf("%+v, %q", settings, odd)
	}
	for text, want := range map[string]string{
		"netns=vpn": "netns=vpn", "netns=vpn\x00vrf": "vrf", "netns=vpn\x00vrf\x00": "vrf", "netns=vpn\x00netns_nonsense=vpn\x00": "netns_nonsense=vpn",
	} {
		if _, odd := ParseSettings(text); odd != want {
			t.Errorf("%q: %q is odd, want %q", text, odd, want)
		}
	}
}
