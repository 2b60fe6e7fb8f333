package packages

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// apk is a package of Alpine: two tar archives, each a member of one gzip file.
type apk struct {
	info     map[string]string // of .PKGINFO
	scripts  map[string]string
	data     []entry
	datahash string // SHA-256 of the second member
}

func readAPK(t *testing.T, name string) apk {
	t.Helper()
	content := []byte(kit.Read(t, name))
	rest := bytes.NewReader(content)
	member := func() (archive []byte, start int) {
		start = len(content) - rest.Len()
		reader, err := gzip.NewReader(rest)
		if err != nil {
			t.Fatal(err)
		}
		reader.Multistream(false)
		if archive, err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
		return archive, start
	}
	control, _ := member()
	data, start := member()
	p := apk{map[string]string{}, map[string]string{}, untar(t, data), fmt.Sprintf("%x", sha256.Sum256(content[start:]))}
	// The first archive has no end, for the second one to go on from there.
	for _, e := range untar(t, control) {
		if e.Name != ".PKGINFO" {
			p.scripts[e.Name] = e.content
			continue
		}
		for line := range strings.Lines(e.content) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
			p.info[key] = value
		}
	}
	for _, e := range p.data {
		if sum := sha1.Sum([]byte(e.content)); e.Typeflag == tar.TypeReg && e.PAXRecords["APK-TOOLS.checksum.SHA1"] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: not the checksum that the package has", e.Name)
		}
	}
	return p
}
