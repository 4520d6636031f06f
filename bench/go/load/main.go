// The load generator of the benchmark: keeps a number of connections busy with one request each for some seconds, checks
// every answer, and prints one JSON line. It reads a byte stream, not HTTP at large: what it must know of an answer is its
// status and its end.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"
)

type result struct {
	Requests int            `json:"requests"`
	Errors   int            `json:"errors"`
	Statuses map[string]int `json:"statuses"`
	Seconds  float64        `json:"seconds"`
	P50Us    float64        `json:"p50_us"`
	P99Us    float64        `json:"p99_us"`
	FirstUs  float64        `json:"first_byte_p50_us"`
	Bytes    int64          `json:"bytes"`
	Sample   string         `json:"sample,omitempty"`
}

type worker struct {
	statuses map[string]int
	totals   []time.Duration
	firsts   []time.Duration
	bytes    int64
	errors   int
	sample   string
}

var (
	address = flag.String("address", "", "host:port")
	path    = flag.String("path", "/v1/chat/completions", "path of the request")
	file    = flag.String("body", "", "file with the body")
	key     = flag.String("key", "", "bearer key")
	conns   = flag.Int("conns", 1, "connections")
	seconds = flag.Float64("seconds", 1, "how long")
	most    = flag.Int("requests", 0, "most requests a connection, 0 for no bound")
)

func main() {
	flag.Parse()
	body, err := os.ReadFile(*file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	var request bytes.Buffer
	fmt.Fprintf(&request, "POST %s HTTP/1.1\r\nhost: %s\r\ncontent-type: application/json\r\naccept: */*\r\nuser-agent: aegis-bench\r\n", *path, *address)
	if *key != "" {
		fmt.Fprintf(&request, "authorization: Bearer %s\r\n", *key)
	}
	fmt.Fprintf(&request, "content-length: %d\r\n\r\n", len(body))
	request.Write(body)

	workers := make([]*worker, *conns)
	var group sync.WaitGroup
	started := time.Now()
	deadline := started.Add(time.Duration(*seconds * float64(time.Second)))
	for i := range workers {
		workers[i] = &worker{statuses: map[string]int{}}
		group.Add(1)
		go func(w *worker) {
			defer group.Done()
			w.run(request.Bytes(), deadline)
		}(workers[i])
	}
	group.Wait()
	report(workers, time.Since(started))
}

func report(workers []*worker, elapsed time.Duration) {
	out := result{Statuses: map[string]int{}, Seconds: elapsed.Seconds()}
	var totals, firsts []time.Duration
	for _, w := range workers {
		out.Errors += w.errors
		out.Bytes += w.bytes
		out.Requests += len(w.totals)
		if out.Sample == "" {
			out.Sample = w.sample
		}
		totals = append(totals, w.totals...)
		firsts = append(firsts, w.firsts...)
		for status, count := range w.statuses {
			out.Statuses[status] += count
		}
	}
	out.P50Us, out.P99Us, out.FirstUs = quantile(totals, 0.5), quantile(totals, 0.99), quantile(firsts, 0.5)
	_ = json.NewEncoder(os.Stdout).Encode(out)
}

func quantile(values []time.Duration, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	return float64(values[int(q*float64(len(values)-1))].Nanoseconds()) / 1000
}

// run sends request after request until the deadline. A broken connection is an error and is opened again.
func (w *worker) run(request []byte, deadline time.Time) {
	var conn net.Conn
	var reader *bufio.Reader
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for time.Now().Before(deadline) && (*most == 0 || len(w.totals) < *most) && w.errors < 100 {
		if conn == nil {
			var err error
			if conn, err = net.DialTimeout("tcp", *address, time.Second); err != nil {
				w.errors++
				if w.sample == "" {
					w.sample = err.Error()
				}
				time.Sleep(10 * time.Millisecond)
				continue
			}
			reader = bufio.NewReaderSize(conn, 64*1024)
		}
		_ = conn.SetDeadline(deadline.Add(10 * time.Second))
		begun := time.Now()
		status, first, ended, err := w.exchange(conn, reader, request)
		if err != nil {
			w.errors++
			if w.sample == "" {
				w.sample = err.Error()
			}
			conn.Close()
			conn = nil
			continue
		}
		w.statuses[status]++
		w.totals = append(w.totals, ended.Sub(begun))
		w.firsts = append(w.firsts, first.Sub(begun))
	}
}

func (w *worker) exchange(conn net.Conn, reader *bufio.Reader, request []byte) (status string, first, ended time.Time, err error) {
	if _, err = conn.Write(request); err != nil {
		return
	}
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return
	}
	first = time.Now()
	if len(line) < 12 {
		err = errors.New("bad status line")
		return
	}
	status = string(line[9:12])
	length, chunked := -1, false
	for {
		line, err = reader.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) <= 2 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok {
			if bytes.EqualFold(name, []byte("content-length")) {
				length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
				if err != nil {
					return
				}
			} else if bytes.EqualFold(name, []byte("transfer-encoding")) {
				chunked = true
			}
		}
	}
	switch {
	case chunked:
		err = w.readChunks(reader, status)
	case length >= 0:
		err = w.readLength(reader, length, status)
	default:
		err = errors.New("an answer without an end")
	}
	ended = time.Now()
	return
}

// readLength reads a body. What is not a 200 is kept once, to say what went wrong.
func (w *worker) readLength(reader *bufio.Reader, length int, status string) error {
	w.bytes += int64(length)
	if status != "200" && w.sample == "" {
		body := make([]byte, length)
		_, err := io.ReadFull(reader, body)
		w.sample = string(body)
		return err
	}
	_, err := reader.Discard(length)
	return err
}

var (
	done  = []byte("data: [DONE]")
	event = []byte("data:")
)

// readChunks reads a chunked body. One that holds events must end with [DONE]: a stream cut short is an error.
func (w *worker) readChunks(reader *bufio.Reader, status string) error {
	tail := make([]byte, 0, 64)
	events := false
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		w.bytes += size
		if size == 0 {
			if _, err = reader.Discard(2); err != nil {
				return err
			}
			if events && !bytes.Contains(tail, done) {
				return errors.New("a stream without [DONE]")
			}
			return nil
		}
		left := int(size)
		for left > 0 {
			want := min(left, 32*1024)
			data, err := reader.Peek(want)
			if err != nil {
				return err
			}
			events = events || bytes.HasPrefix(data, event)
			if len(data) >= 32 {
				tail = append(tail[:0], data[len(data)-32:]...)
			} else {
				tail = append(tail, data...)
				tail = tail[max(0, len(tail)-32):]
			}
			if status != "200" && w.sample == "" {
				w.sample = string(data)
			}
			if _, err = reader.Discard(want); err != nil {
				return err
			}
			left -= want
		}
		if _, err = reader.Discard(2); err != nil {
			return err
		}
	}
}
