package tests

import (
	"regexp"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// The tree says in some more places which version it is than in
// internal/version/VERSION, which programs, manuals and the drop-in have from
// there.
func TestVersionIsOne(t *testing.T) {
	read := func(name string) string { return kit.Read(t, "../"+name) }
	version := strings.TrimSpace(read("internal/version/VERSION"))
	release, between := strings.CutSuffix(version, "-dev")
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(release) {
		t.Fatalf("internal/version/VERSION: %q", version)
	}
	date := `\d{4}-\d\d-\d\d`
	if between {
		date = "unreleased"
	}
	for name, want := range map[string]string{
		"CHANGELOG.md":              `\A# Changelog\n\n## ` + regexp.QuoteMeta(release) + ` \(` + date + `\)\n`,
		"packaging/alpine/APKBUILD": `\npkgver=` + regexp.QuoteMeta(release) + `\n`,
		"packaging/artix/PKGBUILD":  `\npkgver=` + regexp.QuoteMeta(release) + `\n`,
	} {
		if !regexp.MustCompile(want).MatchString(read(name)) {
			t.Errorf("%s does not have %s", name, want)
		}
	}
}
