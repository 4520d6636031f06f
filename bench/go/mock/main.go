// The mock upstream of the benchmark: an HTTP/1.1 server on loopback that answers each POST with a fixed chat completion,
// or, when the body asks to stream, with a fixed number of server-sent events, one write each. It parses no more than it
// must, so that it is faster than what is measured.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

var chunks = flag.Int("chunks", 200, "content events of a streamed answer")

const words = "A binary search halves the range that can hold the key with every comparison, so that it needs only the " +
	"logarithm of the length. It asks for sorted data: on data that changes often, keeping the order costs more than the search saves."

func main() {
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().String())
	// The harness holds stdin open: when it dies, however it dies, the mock ends.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	whole, events := answers()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go serve(conn, whole, events)
	}
}

// answers gives the unstreamed answer with its head, and the head and events of a streamed one in HTTP chunks.
func answers() ([]byte, [][]byte) {
	usage := `{"prompt_tokens":71,"completion_tokens":50,"total_tokens":121,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}`
	body := `{"id":"chatcmpl-bench","object":"chat.completion","created":1764000000,"model":"gpt-bench","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		words + `","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":` + usage + `,"service_tier":"default","system_fingerprint":"fp_bench"}`
	whole := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\ncontent-length: %d\r\n\r\n%s", len(body), body))

	events := [][]byte{[]byte("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nx-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n")}
	add := func(data string) {
		text := "data: " + data + "\n\n"
		events = append(events, []byte(fmt.Sprintf("%x\r\n%s\r\n", len(text), text)))
	}
	head := `{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1764000000,"model":"gpt-bench","service_tier":"default","system_fingerprint":"fp_bench",`
	add(head + `"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}`)
	for i := 0; i < *chunks; i++ {
		add(head + `"choices":[{"index":0,"delta":{"content":" word` + strconv.Itoa(i) + `"},"logprobs":null,"finish_reason":null}],"usage":null}`)
	}
	add(head + `"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}`)
	add(head + `"choices":[],"usage":` + usage + `}`)
	add("[DONE]")
	events[len(events)-1] = append(events[len(events)-1], "0\r\n\r\n"...)
	return whole, events
}

var (
	lengthName = []byte("content-length:")
	streaming  = []byte(`"stream":true`)
)

func serve(conn net.Conn, whole []byte, events [][]byte) {
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, 256*1024)
	body := make([]byte, 0, 256*1024)
	for {
		length := 0
		for {
			line, err := reader.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			if len(line) > len(lengthName) && bytes.EqualFold(line[:len(lengthName)], lengthName) {
				length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(lengthName):])))
				if err != nil {
					return
				}
			}
		}
		if cap(body) < length {
			body = make([]byte, 0, length)
		}
		body = body[:length]
		if _, err := io.ReadFull(reader, body); err != nil {
			return
		}
		// The callers of the benchmark put "stream" first, and a gateway leaves it where it is.
		if !bytes.Contains(body[:min(length, 256)], streaming) {
			if _, err := conn.Write(whole); err != nil {
				return
			}
			continue
		}
		for _, event := range events {
			if _, err := conn.Write(event); err != nil {
				return
			}
		}
	}
}
