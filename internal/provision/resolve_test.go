package provision

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// A file of ten thousand names is not worth the patience of ten thousand.
func TestNamesOfAFileShareOnePatience(t *testing.T) {
	asked := map[string]int{}
	names := lookups{known: map[string]netip.Addr{}, patience: time.Hour, retries: 2, tell: func(string) {}}
	names.lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
		deadline, _ := ctx.Deadline()
		if asked[name]++; asked[name] == 1 || time.Until(deadline) < 0 {
			return nil, &net.DNSError{Err: "i/o timeout"}
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}
	got := ""
	for _, name := range []string{"a", "a", "b", "b", "c"} {
		_, err := names.resolve(name)
		got += fmt.Sprintf("%s: %v\n", name, err)
	}
	if want := "a: <nil>\na: <nil>\nb: <nil>\nb: <nil>\nc: i/o timeout\n"; got != want || fmt.Sprint(asked) != "map[a:2 b:2 c:1]" {
		t.Errorf("%sasked %v", got, asked)
	}
	names.patience = 0
	if address, err := names.resolve("d"); err == nil {
		t.Error(address)
	}
}
