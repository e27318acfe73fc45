/** Server-sent events over fetch, which unlike `EventSource` can send headers: WHATWG HTML, section 9.2. */
/** One event. */
export type ServerEvent = {
    event: string;
    data: string;
};
/** Yields events until the stream ends; `onBytes` is called for everything that arrives. */
export declare function events(body: ReadableStream<Uint8Array>, onBytes: () => void): AsyncGenerator<ServerEvent>;
