// node:events.
type Listener = (...args: any[]) => void;

export class EventEmitter {
  static defaultMaxListeners = 10;
  private readonly listenersOf = new Map<string | symbol, { listener: Listener; once: boolean }[]>();

  private add(name: string | symbol, listener: Listener, once: boolean, first = false): this {
    const list = this.listenersOf.get(name) ?? [];
    const entry = { listener, once };
    this.listenersOf.set(name, first ? [entry, ...list] : [...list, entry]);
    return this;
  }

  on(name: string | symbol, listener: Listener): this {
    return this.add(name, listener, false);
  }

  addListener(name: string | symbol, listener: Listener): this {
    return this.add(name, listener, false);
  }

  prependListener(name: string | symbol, listener: Listener): this {
    return this.add(name, listener, false, true);
  }

  once(name: string | symbol, listener: Listener): this {
    return this.add(name, listener, true);
  }

  off(name: string | symbol, listener: Listener): this {
    const list = this.listenersOf.get(name) ?? [];
    const at = list.findLastIndex((entry) => entry.listener === listener);
    if (at >= 0) this.listenersOf.set(name, list.toSpliced(at, 1));
    return this;
  }

  removeListener(name: string | symbol, listener: Listener): this {
    return this.off(name, listener);
  }

  removeAllListeners(name?: string | symbol): this {
    if (name === undefined) this.listenersOf.clear();
    else this.listenersOf.delete(name);
    return this;
  }

  emit(name: string | symbol, ...args: any[]): boolean {
    const list = this.listenersOf.get(name) ?? [];
    if (list.length === 0 && name === "error") throw args[0] instanceof Error ? args[0] : new Error(`Unhandled error. (${args[0]})`);
    for (const { listener, once } of list) {
      if (once) this.off(name, listener);
      listener.apply(this, args);
    }
    return list.length > 0;
  }

  listeners(name: string | symbol): Listener[] {
    return (this.listenersOf.get(name) ?? []).map((entry) => entry.listener);
  }

  listenerCount(name: string | symbol): number {
    return this.listenersOf.get(name)?.length ?? 0;
  }

  eventNames(): (string | symbol)[] {
    return [...this.listenersOf].flatMap(([name, list]) => (list.length > 0 ? [name] : []));
  }

  setMaxListeners(): this {
    return this;
  }
}

export function once(emitter: EventEmitter, name: string): Promise<any[]> {
  return new Promise((resolve, reject) => {
    emitter.once(name, (...args) => resolve(args));
    if (name !== "error") emitter.once("error", reject);
  });
}

export default Object.assign(EventEmitter, { EventEmitter, once });
