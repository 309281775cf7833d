// Server-sent events out of the body of a response.

/** Yield the data of every event of a stream of bytes. */
export async function* eventsOf(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let left = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      left += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const events = left.split(/\r\n\r\n|\n\n|\r\r/);
      left = done ? "" : events.pop();
      for (const event of events) {
        const data = dataOf(event);
        if (data !== null) yield data;
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever stops listening also stops the server's work
  }
}

function dataOf(event) {
  const lines = event.split(/\r\n|\n|\r/).filter((line) => line.startsWith("data:"));
  return lines.length ? lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n") : null;
}
