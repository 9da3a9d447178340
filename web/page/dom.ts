// Elements of the page, by their ids and made anew.

export function element<Type extends HTMLElement>(id: string): Type {
    const found = document.getElementById(id);
    if (!found) throw new Error(`the page has no #${id}`);
    return found as Type;
}

/** A new element with a class and with what is in it. */
export function make<Name extends keyof HTMLElementTagNameMap>(
    name: Name,
    className: string,
    ...children: (Node | string)[]
): HTMLElementTagNameMap[Name] {
    const made = document.createElement(name);
    made.className = className;
    made.append(...children);
    return made;
}

export function context(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
    return canvas.getContext("2d")!;
}
